"""Waiting until everything that was placed is on the disk: one call for a batch."""

import ctypes
import errno
import os
from collections.abc import Callable, Iterable
from functools import cache


@cache
def _syncfs() -> Callable[[int], int] | None:
    """The C library's `syncfs`, which Python does not have; None elsewhere."""
    found = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if found is None:
        return None
    found.argtypes, found.restype = [ctypes.c_int], ctypes.c_int
    return found  # type: ignore[no-any-return]


def sync_file_systems(directories: Iterable[int]) -> bool:
    """Syncs the file systems of these open directories, each once.

    Returns False where the system has no call for it. Raises OSError.
    """
    call = _syncfs()
    if call is None:
        return False
    by_device = {os.fstat(directory).st_dev: directory for directory in directories}
    for directory in by_device.values():
        if call(directory) != 0:
            number = ctypes.get_errno()
            if number == errno.ENOSYS:
                return False
            raise OSError(number, os.strerror(number))
    return True


def sync_folder(folder: int) -> None:
    """Syncs the files of an open folder, then its names. Raises OSError."""
    for name in os.listdir(folder):
        sync_file(folder, name)
    os.fsync(folder)


def sync_file(folder: int, name: str) -> None:
    """Syncs a file of an open folder, if it is there. Raises OSError."""
    try:
        descriptor = os.open(
            name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder
        )
    except FileNotFoundError:
        return
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
