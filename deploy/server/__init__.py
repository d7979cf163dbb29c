"""The image of MyBookshelf2's own server, and the preparation of its database."""
