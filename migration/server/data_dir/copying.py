"""Copying a file of the library into the data directory, and hashing what is there.

A clone shares its blocks with Calibre's file until either is written to, so it costs no
space and no reading; Calibre's later changes do not reach it, as they would a hard
link. Elsewhere the bytes are hashed on their way, in one reading.
"""

import errno
import fcntl
import hashlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from typing import BinaryIO

from common.resources import raise_if_exhausted
from migration.calibre.paths import LATELY_SECONDS
from migration.errors import EmptyFile, FileChanged, Unreadable
from migration.model import Digest

#: Bytes read at a time: what is hashed and written then is still in the processor's
#: cache.
BLOCK = 256 * 1024
#: Linux's request to share the blocks of another file, see ioctl_ficlone(2).
_FICLONE = 0x40049409
#: Smaller files are never worth looking for holes in.
_SPARSE_BYTES = 64 * 1024
_ZEROS = memoryview(bytes(BLOCK))
_thread = threading.local()


class _Hash:
    """A SHA-1 that tells how far it is."""

    def __init__(self, moved: Callable[[int], None]) -> None:
        self._sha1 = hashlib.sha1(usedforsecurity=False)
        self._moved = moved

    def update(self, data: memoryview) -> None:
        self._sha1.update(data)
        self._moved(len(data))

    def hexdigest(self) -> str:
        return self._sha1.hexdigest()


def copy(
    source: BinaryIO,
    target: int,
    *,
    size: int,
    mtime_ns: int,
    moved: Callable[[int], None] = lambda _count: None,
) -> Digest:
    """Copies an open file into an empty one; returns the digest of what is there now.

    `moved` is told the bytes as they are hashed. Raises FileChanged when the source is
    not, or does not stay, what Calibre's listing saw, EmptyFile, and Unreadable when it
    cannot be read. Any other OSError is about the target.
    """
    before = os.fstat(source.fileno())
    if (before.st_size, before.st_mtime_ns) != (size, mtime_ns):
        raise FileChanged("the file was rewritten after it was listed")
    if size == 0:
        raise EmptyFile("the file is empty")
    sha1 = _Hash(moved)
    if _rests(before) and clone(source.fileno(), target):
        # The source's pages are in memory already, the clone's are not; they are the
        # same as long as the source is not written to.
        count = _hash_all(source.fileno(), sha1)
    elif before.st_size > _SPARSE_BYTES and before.st_blocks * 512 < before.st_size:
        count = _copy_sparse(source.fileno(), target, size, sha1)
    else:
        count = _copy_all(source.fileno(), target, sha1)
    if count != size or _identity(os.fstat(source.fileno())) != _identity(before):
        raise FileChanged("the file was rewritten while it was being copied")
    return Digest(sha1.hexdigest(), size)


def clone(source: int, target: int) -> bool:
    """Lets `target` share the blocks of `source`; False where that is not possible."""
    try:
        fcntl.ioctl(target, _FICLONE, source)
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
            raise
        return False
    return True


def _rests(status: os.stat_result) -> bool:
    """Whether any further write would show in the file's times.

    They advance in steps of some milliseconds.
    """
    latest = max(status.st_mtime, status.st_ctime)
    return abs(time.time() - latest) > LATELY_SECONDS


def _identity(status: os.stat_result) -> tuple[int, int, int]:
    return status.st_size, status.st_mtime_ns, status.st_ctime_ns


def _hash_all(source: int, sha1: _Hash) -> int:
    count = 0
    for block in _blocks(source):
        sha1.update(block)
        count += len(block)
    return count


def _copy_all(source: int, target: int, sha1: _Hash) -> int:
    count = 0
    for block in _blocks(source):
        sha1.update(block)
        _write(target, block, count)
        count += len(block)
    return count


def _copy_sparse(source: int, target: int, size: int, sha1: _Hash) -> int:
    """Copies what is data; holes stay holes, and are hashed as the zeros they are."""
    position = 0
    for start, end in _data(source, size):
        _hash_zeros(start - position, sha1)
        position = start
        for block in _blocks(source, start, end - start):
            sha1.update(block)
            _write(target, block, position)
            position += len(block)
        if position != end:
            return position
    _hash_zeros(size - position, sha1)
    os.ftruncate(target, size)
    return size


def _data(source: int, size: int) -> Iterator[tuple[int, int]]:
    """Yields where a file has data: start and end."""
    end = 0
    while end < size:
        try:
            start = os.lseek(source, end, os.SEEK_DATA)
            end = min(os.lseek(source, start, os.SEEK_HOLE), size)
        except OSError as error:
            if error.errno == errno.ENXIO:  # nothing but a hole from here on
                return
            if error.errno != errno.EINVAL:
                raise _unreadable(error) from error
            start, end = end, size  # a file system that does not know holes
        yield start, end


def _blocks(
    source: int, start: int = 0, length: int | None = None
) -> Iterator[memoryview]:
    """Yields a file's bytes, to one reader in a thread at a time.

    Each block is valid until the next one.
    """
    left = os.fstat(source).st_size + 1 if length is None else length
    held = _buffer()
    while left:
        try:
            count = os.preadv(source, [held[: min(left, len(held))]], start)
        except OSError as error:
            raise _unreadable(error) from error
        if not count:
            return
        yield held[:count]
        start += count
        left -= count


def _buffer() -> memoryview:
    """Returns this thread's buffer: making one for each file costs as much as a copy."""
    found: memoryview | None = getattr(_thread, "buffer", None)
    if found is None:
        found = _thread.buffer = memoryview(bytearray(BLOCK))
    return found


def _write(target: int, block: memoryview, position: int) -> None:
    while block:
        count = os.pwrite(target, block, position)
        block = block[count:]
        position += count


def _hash_zeros(count: int, sha1: _Hash) -> None:
    while count > 0:
        sha1.update(_ZEROS[: min(count, BLOCK)])
        count -= BLOCK


def _unreadable(error: OSError) -> Unreadable:
    raise_if_exhausted(error)
    return Unreadable(f"the file cannot be read: {error.strerror}")
