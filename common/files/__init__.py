"""Files: atomic replacement, locks, reading from the end, and reasons for failures."""
