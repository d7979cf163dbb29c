"""The worker process: how it starts, what it opens, how it ends."""
