"""How a book gets to the server."""
