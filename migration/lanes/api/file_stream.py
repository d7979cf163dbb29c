"""A file being sent: a stream of the announced length, hashed as it is read."""

import hashlib
from collections.abc import Callable
from typing import BinaryIO

from migration.errors import FileChanged
from migration.model import Digest

#: Bytes per read when a file is only hashed.
BLOCK = 1024 * 1024


class FileStream:
    """Reads exactly `size` bytes of a file; calls `moved(n)` for every n bytes read.

    With `hashed` False there is no hash: the server's own hash of what it received says
    the same, and for a large file a second SHA-1 here costs more than sending it.
    """

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
        """Bytes still to be read; the multipart encoder asks for it."""
        return self._left

    def read(self, size: int = -1) -> bytes:
        """Returns at most `size` bytes. Raises FileChanged when the file ends early."""
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
        """Returns the digest of the bytes sent, None without a hash.

        Raises FileChanged when not all were read.
        """
        if self._left:
            raise FileChanged(f"{self._left} of {self._size} bytes were not sent")
        return (
            None if self._sha1 is None else Digest(self._sha1.hexdigest(), self._size)
        )


def digest_of(
    file: BinaryIO,
    stopped: Callable[[], None],
    hashed: Callable[[int], None] = lambda _count: None,
) -> Digest:
    """Hashes an open file, block by block.

    `stopped` is called between blocks and may raise; `hashed` is told their sizes.
    """
    sha1 = hashlib.sha1(usedforsecurity=False)
    size = 0
    while block := file.read(BLOCK):
        sha1.update(block)
        size += len(block)
        stopped()
        hashed(len(block))
    return Digest(sha1.hexdigest(), size)
