"""A file on its way to the server: a stream, hashed while it is read, never longer or
shorter than announced."""

import hashlib
from collections.abc import Callable
from typing import BinaryIO

from migration.errors import FileChanged
from migration.model import Digest

#: Bytes read at a time when a file is only hashed.
BLOCK = 1024 * 1024


class FileStream:
    """Reads exactly `size` bytes of a file. `moved(n)` is told of every n bytes read.

    `hashed` False leaves out the hash: the server's own of what it received tells the
    same, and for a large file a second SHA-1 here costs more than sending it."""

    def __init__(
        self,
        file: BinaryIO,
        size: int,
        moved: Callable[[int], None],
        *,
        hashed: bool = True,
    ) -> None:
        self._file = file
        self._left = size
        self._size = size
        self._moved = moved
        self._sha1 = hashlib.sha1(usedforsecurity=False) if hashed else None

    @property
    def len(self) -> int:
        """Bytes still to be read; what the multipart encoder asks for."""
        return self._left

    def read(self, size: int = -1) -> bytes:
        """The next bytes, at most `size`. Raises FileChanged when the file ends
        early."""
        wanted = self._left if size < 0 else min(size, self._left)
        if wanted == 0:
            return b""
        block = self._file.read(wanted)
        if not block:
            raise FileChanged(
                f"the file is {self._left} bytes shorter than when it was first read"
            )
        self._left -= len(block)
        if self._sha1 is not None:
            self._sha1.update(block)
        self._moved(len(block))
        return block

    def sent(self) -> Digest | None:
        """The identity of the bytes that went out, None without a hash. Raises
        FileChanged when not all were read."""
        if self._left:
            raise FileChanged(f"{self._left} of {self._size} bytes were not sent")
        return (
            None if self._sha1 is None else Digest(self._sha1.hexdigest(), self._size)
        )


def digest_of(file: BinaryIO, stopped: Callable[[], None]) -> Digest:
    """SHA-1 and size of an open file, streamed. `stopped` is called between blocks and
    may raise."""
    sha1 = hashlib.sha1(usedforsecurity=False)
    size = 0
    while block := file.read(BLOCK):
        sha1.update(block)
        size += len(block)
        stopped()
    return Digest(sha1.hexdigest(), size)
