"""Replacing a file so that a reader sees the old or the new bytes, never a mixture.

That holds whatever dies in between.
"""

import ctypes
import os
import tempfile
from collections.abc import Collection
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


def sync_together(paths: Collection[Path]) -> None:
    """Waits until new files and their names are on the disk. Raises OSError.

    One call for each file system where there is such a call: for many files it is far
    quicker than waiting for each.
    """
    folders = {path.parent for path in paths} | {path.parent.parent for path in paths}
    sync_one = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if sync_one is None:
        for path in [*paths, *folders]:
            sync(path)
        return
    for folder in {folder.stat().st_dev: folder for folder in folders}.values():
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            if sync_one(descriptor):
                number = ctypes.get_errno()
                raise OSError(number, os.strerror(number), str(folder))
        finally:
            os.close(descriptor)
