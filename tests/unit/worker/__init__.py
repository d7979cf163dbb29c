"""Decisions of the worker."""
