"""Whether an EPUB declares a cover of its own, which the server would find in it.

The files are hostile: only little of them is read, and no XML is parsed. What is odd
counts as a cover, so that the server looks for itself.
"""

import re
import struct
import zipfile
import zlib
from typing import BinaryIO

#: The longest directory of a ZIP file, container and package that are read, in bytes.
_DIRECTORY_BYTES = 4 * 1024 * 1024
_CONTAINER_BYTES = 64 * 1024
_PACKAGE_BYTES = 4 * 1024 * 1024
#: Where the record at the end of a ZIP file may begin, counted from its end.
_TAIL_BYTES = 22 + 65_535

#: What damaged and hostile files come to.
_ODD = (OSError, ValueError, RuntimeError, EOFError, struct.error, zlib.error)

_PACKAGE = re.compile(rb"""full-path\s*=\s*["']([^"']{1,1000})["']""")
_COVER = re.compile(
    rb"""properties\s*=\s*["'][^"']{0,200}\bcover-image\b"""
    rb"""|name\s*=\s*["']cover["']""",
    re.IGNORECASE,
)


def declares_cover(epub: BinaryIO) -> bool:
    """Whether the package document names a picture as the cover."""
    try:
        if not _is_small(epub):
            return True
        with zipfile.ZipFile(epub) as archive:
            container = _read(archive, "META-INF/container.xml", _CONTAINER_BYTES)
            package = _PACKAGE.search(container)
            if package is None:
                return False
            name = package[1].decode("utf-8", "replace")
            return _COVER.search(_read(archive, name, _PACKAGE_BYTES)) is not None
    except (KeyError, zipfile.BadZipFile):
        # Without directory, container or package nothing is found in it.
        return False
    except _ODD:
        return True


def _is_small(epub: BinaryIO) -> bool:
    """Whether the ZIP file's directory can be read at all: it is held in memory whole."""
    size = epub.seek(0, 2)
    epub.seek(max(0, size - _TAIL_BYTES))
    tail = epub.read(_TAIL_BYTES)
    found = tail.rfind(b"PK\x05\x06")
    length = int.from_bytes(tail[found + 12 : found + 16], "little")
    return found < 0 or length <= _DIRECTORY_BYTES


def _read(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    """Returns the beginning of a file. Raises KeyError without it."""
    with archive.open(name) as member:
        return member.read(limit)
