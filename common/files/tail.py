"""The end of a file that may be long."""

import os
from pathlib import Path


def last_bytes(path: Path, most: int) -> bytes:
    """At most so many bytes from the end of the file. Raises OSError."""
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - most))
        return file.read(most)
