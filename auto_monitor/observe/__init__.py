"""Observing workers, disk and server."""
