"""Finding state directories: those that exist, and the one that is meant."""
