"""The ways in which books get to the server."""
