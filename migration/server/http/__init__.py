"""Requests and responses: sending, time, and what counts as an answer."""
