"""One worker process: its assembly, uploader threads, work queue, limits and
progress."""
