"""The part of the error tree shared by all programs, and error codes.

`migration.errors` has the whole tree. The explanation of each code is in the catalogue
(`common/errors/texts/`), from which docs/errors.md is generated.
"""

import re
from typing import ClassVar

from common.exit_status import ExitCode

_CODED = re.compile(r"\[[a-z]+(-[a-z]+)*\]$")


class CodedError(Exception):
    """An error that users may see; the catalogue explains its `code`.

    Users search for codes, so a code stays when its class is renamed.
    """

    code: ClassVar[str] = ""


def told(error: BaseException) -> str:
    """Returns the error's message, with its code if it has one."""
    return with_code(error, error.code) if isinstance(error, CodedError) else str(error)


def with_code(sentence: object, code: str) -> str:
    """Appends `[code]` to the first line, since a command may follow on the next.

    A message that quotes another program's output keeps that program's code.
    """
    first, newline, rest = str(sentence).partition("\n")
    if code and not _CODED.search(first):
        first += f" [{code}]"
    return first + newline + rest


class MigrationError(CodedError):
    """The base of every deliberate error; its text is a sentence for the user."""


class Fatal(MigrationError):
    """Stop at once with this message; `exit_code` is the worker's exit status."""

    exit_code = ExitCode.INTERNAL


class StateUnwritable(Fatal):
    """The state directory, or a file in it, cannot be written.

    It is full, read-only, gone, not ours to open, or on a network file system.
    """

    code = "state-unwritable"
    exit_code = ExitCode.STATE


class StateDirGone(StateUnwritable):
    """The whole directory was deleted or replaced while it was in use."""

    code = "state-dir-gone"


class StateOnNetwork(StateUnwritable):
    """The directory is on a network file system, where SQLite's locks fail."""

    code = "state-on-network"


class NoStartTime(StateUnwritable):
    """The system reports no start time of a process, so ownership cannot work."""

    code = "no-start-time"


class StateDirUnclear(Fatal):
    """It is not clear which state directory is meant.

    There is no home directory for one, or several migrations run.
    """

    code = "state-dir-unclear"
    exit_code = ExitCode.USAGE


class OutOfResources(Fatal):
    """The machine or this process ran short of something.

    Neither the file nor a directory is to blame.
    """

    exit_code = ExitCode.INTERNAL


class TooManyOpenFiles(OutOfResources):
    """No further file or connection can be opened (EMFILE, ENFILE)."""

    code = "too-many-open-files"


class OutOfMemory(OutOfResources):
    """The system, Python or SQLite has no memory left for this process."""

    code = "out-of-memory"


class OutOfThreads(OutOfResources):
    """The system cannot start another thread."""

    code = "out-of-threads"


class RecursionTooDeep(OutOfResources):
    """Recursion too deep: a bug, or malformed data followed too far."""

    code = "recursion-too-deep"
