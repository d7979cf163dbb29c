"""The worker's files in the state directory: a module per format reads and writes."""
