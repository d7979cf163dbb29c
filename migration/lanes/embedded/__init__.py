"""The lane to the embedded server: many books in one request."""
