"""The optional Dask transport."""
