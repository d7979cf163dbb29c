"""The image of MyBookshelf2's own server, and what its database needs."""
