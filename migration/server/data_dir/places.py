"""Where a MyBookshelf2 server keeps its files, and who owns them there."""

import os
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from migration.server.data_dir.owner import Status, Us, owning
from migration.server.data_dir.placer import Directory


@dataclass(frozen=True, slots=True)
class Places:
    """The server's BOOKS_BASE_DIR, THUMBS_DIR and UPLOAD_DIR."""

    books: Path
    thumbnails: Path
    uploads: Path

    @classmethod
    def below(cls, data_dir: Path) -> "Places":
        """Returns the directories as the server has them unless told otherwise."""
        return cls(data_dir / "books", data_dir / "thumbs", data_dir / "uploads")


def us() -> Us:
    """Returns who this process is."""
    return Us(os.geteuid(), frozenset({os.getegid(), *os.getgroups()}))


def status_of(path: Path) -> Status:
    """Returns owner and mode of a directory. Raises OSError."""
    return _status(path, path.stat())


def opened(path: Path, held: ExitStack) -> Directory:
    """Opens a directory, which `held` closes. Raises OSError."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    held.callback(os.close, descriptor)
    status = _status(path, os.fstat(descriptor))
    return Directory(descriptor, owning(status, us()))


def _status(path: Path, found: os.stat_result) -> Status:
    return Status(str(path), found.st_uid, found.st_gid, found.st_mode)
