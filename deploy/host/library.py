"""The library that a start is about."""

from pathlib import Path

from auto_monitor.config import Misconfigured
from migration.errors import LibraryUnreadable


def checked(library: Path, *, waits: bool) -> Path:
    """Returns the library. Raises Misconfigured when it is none, LibraryUnreadable when
    this user cannot see whether it is; not for a start that waits for it."""
    try:
        found = waits or (library / "metadata.db").is_file()
    except OSError as error:
        raise LibraryUnreadable(
            f"{library} cannot be read by this user: {error.strerror}; give it read "
            "access, or start as the library's owner"
        ) from None
    if not found:
        raise Misconfigured(
            f"{library} has no metadata.db; name the folder of a Calibre library"
        )
    return library
