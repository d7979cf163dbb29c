"""What can be seen of workers, disk and server."""
