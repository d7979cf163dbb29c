"""Finding state directories: those that are there, and the one that is meant."""
