"""The end of a long file."""

import os
from pathlib import Path


def last_bytes(path: Path, most: int) -> bytes:
    """Returns at most the last `most` bytes of the file. Raises OSError."""
    with path.open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - most))
        return file.read(most)
