"""What became of a pass, for those who come back later."""
