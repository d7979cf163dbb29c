"""Decisions of the monitor."""
