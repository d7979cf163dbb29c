"""Why the system did not let us use a file, and what to do about it.

The same wording is used for all files of ours.
"""

import errno
import os
from pathlib import Path

from common.clock import utc_now


def reason_of(error: OSError) -> str:
    """Returns the system's message and what to do about it.

    For example `Permission denied; give this user …`.
    """
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
    """Returns why this user cannot use a file, by name, kind and permissions.

    Returns "" if allowed. The file is not opened: closing a second descriptor of a
    database would drop the locks SQLite holds on it.
    """
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
    """Moves a directory out of the way of a file of ours; returns its new name or None.

    Nothing in it is touched. Raises OSError.
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
    """Returns how many bytes this user may still write there; None if unknown."""
    try:
        found = os.statvfs(directory)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize


def _read_only(path: Path) -> bool:
    return bool(os.statvfs(path).f_flag & os.ST_RDONLY)
