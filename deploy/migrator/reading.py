"""Whether this container's user can read the library, and what to set if not."""

import os
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple


class Owner(NamedTuple):
    """Whose a file is, and who may do what with it."""

    uid: int
    gid: int
    mode: int


#: Of so many folders of authors at least one must be readable.
LOOKED_AT = 50


def why_unreadable(library: Path) -> str:
    """Returns a sentence for the user, or "" when the library can be read.

    Only rights are looked at: whoever opens the library says what else is wrong.
    """
    closed = _closed(library)
    if closed is None:
        return ""
    try:
        found = closed.stat()
        owner: Owner | None = Owner(found.st_uid, found.st_gid, found.st_mode & 0o7777)
    except OSError:
        owner = None
    return sentence(closed, owner, (os.getuid(), os.getgid()))


def sentence(closed: Path, owner: Owner | None, user: tuple[int, int]) -> str:
    """Says who may not read what, whose it is, and what to set. Pure."""
    again = "in .env and start again with up --build"
    if owner is None:
        theirs = "its folder is closed to that user"
        do = f"set MIGRATOR_UID and MIGRATOR_GID to its owner {again}"
    else:
        theirs = f"it belongs to user {owner.uid}:{owner.gid} (mode {owner.mode:04o})"
        do = f"set MIGRATOR_UID={owner.uid} and MIGRATOR_GID={owner.gid} {again}"
    if owner is not None and owner.uid in (0, user[0]):
        # A container as root would be given more than the right to read.
        do = (
            "give that user the right to read the folder of CALIBRE_LIBRARY (chmod -R "
            "u+rX,o+rX), or set MIGRATOR_UID and MIGRATOR_GID to a user who has it"
        )
    return (
        f"{closed} cannot be read by user {user[0]}:{user[1]} of this container: "
        f"{theirs}; {do}"
    )


def _closed(library: Path) -> Path | None:
    """Returns what is closed to this user: folder, database, or all authors' folders."""
    if _is_closed(library):
        return library
    database = library / "metadata.db"
    if database.exists() and not os.access(database, os.R_OK):
        return database
    authors = list(islice(_authors(library), LOOKED_AT))
    closed = [path for path in authors if _is_closed(path)]
    return closed[0] if closed and len(closed) == len(authors) else None


def _is_closed(folder: Path) -> bool:
    return folder.is_dir() and not os.access(folder, os.R_OK | os.X_OK)


def _authors(library: Path) -> Iterator[Path]:
    try:
        with os.scandir(library) as entries:
            for entry in entries:
                if not entry.name.startswith(".") and entry.is_dir(
                    follow_symlinks=False
                ):
                    yield Path(entry.path)
    except OSError:
        return
