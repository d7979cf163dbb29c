"""The direct lane in one process, over a small host."""
