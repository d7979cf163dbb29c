"""The process around the work: how it starts, what it opens, how it ends."""
