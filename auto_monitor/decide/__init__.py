"""Decisions of the monitor. Pure."""
