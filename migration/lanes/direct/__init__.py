"""The lane of the server's own host: rows and files are written past its API."""
