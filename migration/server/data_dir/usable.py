"""Whether the server's data directory can be written by us, and used by it afterwards."""

import os
import stat
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import BinaryIO

from common.resources import raise_if_exhausted
from migration.errors import DataDirUnusable
from migration.ledger.database import network_file_system
from migration.server.data_dir import folders, owner
from migration.server.data_dir.copying import clone
from migration.server.data_dir.owner import Status, Us
from migration.server.data_dir.placer import Directory
from migration.server.data_dir.places import Places, opened, status_of, us

#: The probe's folder: it is made, used and removed in each directory. It has one name,
#: so that the next start removes what a killed one left.
_PROBE = ".migration-probe"
_FILE = "probe"
_KIB = 1024


def check(places: Places, needed: int, sample: BinaryIO | None = None) -> None:
    """Raises DataDirUnusable, with a sentence that says what to do.

    `needed` are the bytes to come; they need no space where the blocks of `sample`, an
    open file of the library, can be shared.
    """
    roots = (places.books, places.thumbnails)
    found = [_status(path) for path in (*roots, places.uploads)]
    _refuse(owner.common(found) or _on_another_host(roots))
    for status in found:
        _refuse(_unfit(status, us()))
    shared = all([_probe(path, sample) for path in (*roots, places.uploads)])
    _refuse("" if shared and sample is not None else _too_little(places.books, needed))


def _status(path: Path) -> Status:
    try:
        found = status_of(path)
    except OSError as error:
        raise_if_exhausted(error)
        raise DataDirUnusable(
            f"{path} cannot be used: {error.strerror}; MBS2_DATA_DIR is the directory "
            "in which the server itself has books, thumbs and uploads"
        ) from error
    if not stat.S_ISDIR(found.mode):
        raise DataDirUnusable(f"{path} is not a directory, as the server has it")
    return found


def _refuse(problem: str) -> None:
    if problem:
        raise DataDirUnusable(problem)


def _on_another_host(roots: Iterable[Path]) -> str:
    for path in roots:
        kind = network_file_system(path)
        if kind:
            return (
                f"{path} is on another host's disk ({kind}): the direct lane runs on "
                "the host that has it; use --lane api here"
            )
    return ""


def _unfit(status: Status, who: Us) -> str:
    if os.statvfs(status.path).f_flag & os.ST_RDONLY:
        return f"{status.path} is on a file system that is mounted read-only"
    return owner.problem(status, who)


def _probe(path: Path, sample: BinaryIO | None) -> bool:
    """Makes and removes a folder with a file, owned as a book's would be.

    Returns whether the file could share the sample's blocks.
    """
    with ExitStack() as held:
        try:
            directory = opened(path, held)
            _clear(directory)
            held.callback(_clear, directory)
            folders.make_own(directory.descriptor, _PROBE, directory.how)
            with folders.opened(directory.descriptor, _PROBE) as folder:
                target = folders.new_file(folder, _FILE, directory.how)
                held.callback(os.close, target)
                os.write(target, b"probe")
                os.ftruncate(target, 0)
                return sample is not None and clone(sample.fileno(), target)
        except OSError as error:
            raise_if_exhausted(error)
            raise DataDirUnusable(
                f"{path} cannot be written to: {error.strerror}; give this user the "
                "right to, or run it as the server's user"
            ) from error


def _clear(directory: Directory) -> None:
    with suppress(OSError):
        folders.remove_below(directory.descriptor, f"{_PROBE}/{_FILE}")
        folders.remove_if_empty(directory.descriptor, _PROBE)


def _too_little(path: Path, needed: int) -> str:
    found = os.statvfs(path)
    free = found.f_bavail * found.f_frsize
    if needed <= free:
        return ""
    return (
        f"{path} has room for {_mib(free)}, and {_mib(needed)} are to come: free some "
        "space, or migrate a part (--tag, --format …)"
    )


def _mib(count: int) -> str:
    return f"{count // _KIB // _KIB:,} MiB"
