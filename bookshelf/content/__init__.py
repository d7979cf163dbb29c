"""What is in a file of a book: its metadata and its cover."""
