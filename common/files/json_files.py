"""JSON files that are replaced atomically: a reader sees the old one or the new one."""

import errno
import json
import os
import stat
from pathlib import Path

from common.errors import OutOfResources as OutOfResources

# both are part of what `write_json` promises
from common.errors import StateUnwritable as StateUnwritable
from common.files import durable
from common.files.system_errors import reason_of
from common.json_value import Json
from common.resources import raise_if_exhausted

#: A rename can be impossible where a write is not: another device (bind mounts),
#: unusual permissions.
_WRITE_DIRECTLY = frozenset({errno.EXDEV, errno.EPERM, errno.EACCES})

#: What writing raises; to be caught where the program can go on without the file.
UNWRITABLE = (StateUnwritable, OutOfResources)


def write_json(path: Path, value: Json) -> None:
    """Replaces the file: temporary file, fsync, rename, fsync of the directory.

    The directory is created if it is missing. The file is written directly only when
    the rename is refused with EXDEV, EPERM or EACCES. Raises StateUnwritable, with the
    reason and what to do, or OutOfResources.
    """
    write_bytes(
        path,
        (
            json.dumps(value, ensure_ascii=False, allow_nan=False, indent=1) + "\n"
        ).encode("utf-8"),
    )


def write_bytes(path: Path, data: bytes) -> None:
    """Replaces the file as `write_json` does.

    Raises StateUnwritable or OutOfResources.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _replace(path, data)
    except OSError as error:
        raise_if_exhausted(error)
        raise StateUnwritable(f"cannot write {path}: {reason_of(error)}") from error


def make_state_dir(path: Path) -> None:
    """Creates the directory, and makes this process's new files private to this user.

    An existing directory keeps its permissions. Raises OSError.
    """
    os.umask(0o077)
    path.mkdir(parents=True, exist_ok=True, mode=0o700)


def read_json(path: Path) -> Json:
    """Returns the file's value; None when it is missing or cannot be parsed.

    A reader then keeps its last value.
    """
    try:
        value: Json = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return value


def _replace(path: Path, data: bytes) -> None:
    try:
        durable.replace(path, data, mode=_mode(path))
    except OSError as error:
        if error.errno not in _WRITE_DIRECTLY:
            raise
        durable.overwrite(path, data)


def _mode(path: Path) -> int:
    """Returns the file's permissions; a new file is for this user alone."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return 0o600
