"""Taking a pass back from the server."""
