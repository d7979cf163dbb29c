"""One lock on a file, held through its descriptor: the kernel lets go when the process
dies, whatever kills it."""

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def take(path: Path, *, mode: int = 0o600) -> int | None:
    """Locks the file, made if need be; returns its descriptor, which holds the lock
    until it is closed.

    None when another process holds it. Raises OSError when it cannot be opened.
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
    """Holds the lock inside the block, waiting for whoever has it. Raises OSError when
    it cannot be opened."""
    descriptor = _open(path, mode)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def holder(path: Path, most: int = 4096) -> bytes | None:
    """What the holder of the lock wrote into the file; None when nobody holds it.
    Raises OSError."""
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CLOEXEC)
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
