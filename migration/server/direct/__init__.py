"""A MyBookshelf2 server written from its own host: its database and data directory."""
