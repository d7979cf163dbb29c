"""The content of a book's file: its metadata and its cover."""
