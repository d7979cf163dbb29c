"""Locks on files, which the kernel releases however the process dies."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def take(path: Path, *, mode: int = 0o600) -> int | None:
    """Locks the file, created if missing; returns the descriptor that holds the lock.

    Closing it releases the lock. None when another process has the lock. Raises OSError
    when the file cannot be opened.
    """
    descriptor = _open(path, mode)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


@contextmanager
def waiting(path: Path, *, mode: int = 0o600) -> Iterator[None]:
    """Holds the lock inside the block, waiting for another holder.

    Raises OSError when the file cannot be opened.
    """
    descriptor = _open(path, mode)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def holder(path: Path, most: int = 4096) -> bytes | None:
    """Returns what the lock's holder wrote into the file; None when it is not locked.

    Raises OSError.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return os.pread(descriptor, most, 0)
    else:
        return None
    finally:
        os.close(descriptor)


def _open(path: Path, mode: int) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, mode)
