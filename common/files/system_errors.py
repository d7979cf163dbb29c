"""Why the system did not let us use a file, with the way out: the same words wherever a
file of ours is at stake."""

import errno
import os
from pathlib import Path

from common.clock import utc_now


def reason_of(error: OSError) -> str:
    """The system's word and the way out, such as `Permission denied; give this user
    …`."""
    if error.errno in (errno.EISDIR, errno.ENOTEMPTY):
        return "it is a directory, not a file; move it away"
    if error.errno in (errno.EACCES, errno.EPERM):
        return (
            f"{error.strerror}; give this user the right to read and write it, or "
            "give another --state-dir"
        )
    if error.errno == errno.EROFS:
        return f"{error.strerror}; mount it writable, or give another --state-dir"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{error.strerror}; free some space on its disk, or give another --state-dir"
    return f"{error.strerror}; look into the system's log, or give another --state-dir"


def refusal(path: Path, *, writing: bool) -> str:
    """Why this file cannot be used by this user, as far as its name, kind and rights
    tell; "" when they allow it.

    The file is not opened: closing a second descriptor of a database would end the
    locks SQLite holds on it."""
    try:
        if path.is_dir():
            return reason_of(IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR)))
        path.stat()
    except FileNotFoundError:
        return ""
    except OSError as error:
        return reason_of(error)
    if not os.access(path, os.R_OK | (os.W_OK if writing else 0)):
        number = (
            errno.EROFS
            if _read_only(path) and os.access(path, os.R_OK)
            else errno.EACCES
        )
        return reason_of(OSError(number, os.strerror(number)))
    return ""


def set_aside_if_directory(path: Path) -> Path | None:
    """Moves a directory out of the way of a file of ours; returns its new name. None
    when there is none there.

    Raises OSError. Nothing in it is touched.
    """
    if not path.is_dir() or path.is_symlink():
        return None
    stamp = utc_now().strftime("%Y%m%dT%H%M%S%fZ")
    try:
        return path.rename(path.with_name(f"{path.name}.directory-{stamp}"))
    except FileNotFoundError:
        # Another worker was faster.
        return None


def space_left(directory: Path) -> int | None:
    """Bytes that this user may still write there; None when that cannot be told."""
    try:
        found = os.statvfs(directory)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize


def _read_only(path: Path) -> bool:
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
