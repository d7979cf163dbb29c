"""The lane through the server's API; works with every server."""
