"""One worker process: assembly, uploader threads, work queue, limits and progress."""
