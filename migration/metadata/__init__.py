"""A Calibre book as MyBookshelf2 accepts it. Pure."""
