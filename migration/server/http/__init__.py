"""Requests and responses: sending, time limits, and what counts as an answer."""
