"""Requests nobody should send to the embedded server."""
