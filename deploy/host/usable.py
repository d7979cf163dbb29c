"""A state directory that this user can write, or the sentence why not.

The second user of a checkout, or of a machine, meets directories of the first.
"""

import errno
import os
import pwd
from contextlib import suppress
from pathlib import Path

from common.errors import StateUnwritable
from common.files.json_files import make_state_dir

_IN_ITS_PLACE = {
    errno.EEXIST: "a file is in its place",
    errno.ENOTDIR: "a part of its path is a file",
}
_ALL = os.R_OK | os.W_OK | os.X_OK


def make(state_dir: Path, *, way_out: str) -> None:
    """Makes the directory unless it is there. Raises StateUnwritable.

    `way_out` says what else a user can do who has no right to it.
    """
    try:
        make_state_dir(state_dir)
    except OSError as error:
        number = error.errno or 0
        reason = _IN_ITS_PLACE.get(number) or os.strerror(number)
        raise _refusal(state_dir, reason, way_out) from error
    if not _may(state_dir, _ALL):
        reason = os.strerror(errno.EROFS if _is_read_only(state_dir) else errno.EACCES)
        raise _refusal(state_dir, reason, way_out)


def _may(path: Path, what: int) -> bool:
    effective = os.access in os.supports_effective_ids
    return os.access(path, what, effective_ids=effective)


def _refusal(state_dir: Path, reason: str, way_out: str) -> StateUnwritable:
    # What is not there cannot be written because of the folder it would be in.
    found = next(
        path for path in (state_dir, *state_dir.parents) if _may(path, os.F_OK)
    )
    owner = _owner(found)
    whose = f" ({found} belongs to {owner})" if owner else ""
    return StateUnwritable(f"cannot use {state_dir}: {reason}{whose}; {way_out}")


def _owner(path: Path) -> str:
    """Returns the name of the owner if it is somebody else, or ""."""
    number = path.stat().st_uid
    if number == os.geteuid():
        return ""
    with suppress(KeyError):
        return pwd.getpwuid(number).pw_name
    return f"user {number}"


def _is_read_only(path: Path) -> bool:
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
