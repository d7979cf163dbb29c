"""Write a JSON file so that a reader sees the old one or the new one, never a mixture,
whatever dies in between."""

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

#: A rename can be impossible where a write is not: another device (bind mounts), odd
#: rights.
_WRITE_DIRECTLY = frozenset({errno.EXDEV, errno.EPERM, errno.EACCES})

#: What writing raises: to be caught by whoever can go on without the file.
UNWRITABLE = (StateUnwritable, OutOfResources)


def write_json(path: Path, value: Json) -> None:
    """Replaces the file: temporary file beside it, fsync, rename, fsync of the
    directory.

    The directory is made if it is gone. Written directly only when the rename is
    refused with EXDEV, EPERM or EACCES. Raises StateUnwritable with the reason and the
    way out, OutOfResources."""
    write_bytes(
        path,
        (
            json.dumps(value, ensure_ascii=False, allow_nan=False, indent=1) + "\n"
        ).encode("utf-8"),
    )


def write_bytes(path: Path, data: bytes) -> None:
    """Replaces the file as `write_json` does. Raises StateUnwritable,
    OutOfResources."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        _replace(path, data)
    except OSError as error:
        raise_if_exhausted(error)
        raise StateUnwritable(f"cannot write {path}: {reason_of(error)}") from error


def make_state_dir(path: Path) -> None:
    """Makes the directory, unless it is there, for this user alone; so are the files
    this process makes from now on.

    The rights of one that is there stay as they are. Raises OSError.
    """
    os.umask(0o077)
    path.mkdir(parents=True, exist_ok=True, mode=0o700)


def read_json(path: Path) -> Json:
    """The file's value; None when it is missing or cannot be parsed (then a reader
    keeps its last value)."""
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
    """The rights the file has; those of a new one are for this user alone."""
    try:
        return stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return 0o600
