"""The report on a pass."""
