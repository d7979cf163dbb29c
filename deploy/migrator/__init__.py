"""The container of monitor and workers."""
