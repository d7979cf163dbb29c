"""The part of the error tree that every program here can raise, and codes.

`migration.errors` has the whole tree. What people are told about a code is in the
catalogue (`common/errors/texts/`), of which docs/errors.md is written.
"""

import re
from typing import ClassVar

from common.exit_status import ExitCode

_CODED = re.compile(r"\[[a-z]+(-[a-z]+)*\]$")


class CodedError(Exception):
    """An error that a person may meet; the catalogue explains its `code`.

    Codes are what people search for, so a code stays when its class is renamed.
    """

    code: ClassVar[str] = ""


def told(error: BaseException) -> str:
    """The error's sentence, with its code when it has one."""
    return with_code(error, error.code) if isinstance(error, CodedError) else str(error)


def with_code(sentence: object, code: str) -> str:
    """`… [code]`: behind the first line, where a command may follow.

    A sentence that quotes another program's last words has that program's code.
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
    """The state directory or a file in it is full, read-only, gone, not ours to open,
    or on a network file system."""

    code = "state-unwritable"
    exit_code = ExitCode.STATE


class StateDirGone(StateUnwritable):
    """The whole directory was deleted or replaced while it was used."""

    code = "state-dir-gone"


class StateOnNetwork(StateUnwritable):
    """The directory is on a network file system, where SQLite's locks do not hold."""

    code = "state-on-network"


class NoStartTime(StateUnwritable):
    """The system does not say when a process started, so nobody can own anything."""

    code = "no-start-time"


class StateDirUnclear(Fatal):
    """Nothing says which state directory is meant: there is no home for one, or several
    migrations run."""

    code = "state-dir-unclear"
    exit_code = ExitCode.USAGE


class OutOfResources(Fatal):
    """The machine or this process ran short of something; neither the file nor a
    directory is to blame."""

    exit_code = ExitCode.INTERNAL


class TooManyOpenFiles(OutOfResources):
    """No further file or connection can be opened (EMFILE, ENFILE)."""

    code = "too-many-open-files"


class OutOfMemory(OutOfResources):
    """The system, Python or SQLite has no memory left for this process."""

    code = "out-of-memory"


class OutOfThreads(OutOfResources):
    """The system starts no further thread."""

    code = "out-of-threads"


class RecursionTooDeep(OutOfResources):
    """A function called itself too often: a fault of the program, or nonsense that it
    followed too far."""

    code = "recursion-too-deep"
