"""The worker's files in the state directory, one module per format, in both
directions."""
