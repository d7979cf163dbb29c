"""The optional transport through a Dask cluster."""
