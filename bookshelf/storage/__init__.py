"""The server's storage: its database, its files, and queries of both."""
