"""An index and languages for a MyBookshelf2 server."""
