"""The data directory of a MyBookshelf2 server: books, covers, thumbnails."""
