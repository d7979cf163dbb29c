"""A further run is an update."""
