"""Replacing a file so that a reader sees the old or the new bytes, never a mixture.

That holds whatever dies in between.
"""

import os
import tempfile
from pathlib import Path


def replace(path: Path, data: bytes, *, mode: int) -> None:
    """Replaces the file: temporary file beside it, fsync, rename, fsync of the folder.

    `mode` is that of the new file, whatever the umask. Raises OSError; then the old
    file is unchanged.
    """
    descriptor, name = tempfile.mkstemp(
        dir=path.parent, prefix=f".{path.name}.", suffix=".tmp"
    )
    temporary = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(data)
            file.flush()
            os.fchmod(file.fileno(), mode)
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    sync(path.parent)


def overwrite(path: Path, data: bytes) -> None:
    """Writes into the file itself, where it cannot be replaced. Raises OSError."""
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def sync(path: Path) -> None:
    """Waits until a file's bytes, or a folder's names, are on disk. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
