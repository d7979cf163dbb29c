"""Prepares a MyBookshelf2 server: an index and languages."""
