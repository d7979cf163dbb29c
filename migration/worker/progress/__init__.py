"""What a worker shows of its work."""
