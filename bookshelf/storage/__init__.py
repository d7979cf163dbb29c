"""What the server keeps: its database, its files, and what is asked of both."""
