"""What a state directory says: how far, how fast, what failed. Nothing is written."""
