"""MyBookshelf2's REST routes."""
