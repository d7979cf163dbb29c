"""The part of the error tree that every program here can raise; `migration.errors` has
the whole tree."""

from common.exit_status import ExitCode


class MigrationError(Exception):
    """The base of every deliberate error; its text is a sentence for the user."""


class Fatal(MigrationError):
    """Stop at once with this message; `exit_code` is the worker's exit status."""

    exit_code = ExitCode.INTERNAL


class StateUnwritable(Fatal):
    """The state directory or a file in it is full, read-only, gone, not ours to open,
    or on a network file system."""

    exit_code = ExitCode.STATE


class StateDirUnclear(Fatal):
    """Nothing says which state directory is meant: there is no home for one, or several
    migrations run."""

    exit_code = ExitCode.USAGE


class OutOfResources(Fatal):
    """The machine or this process ran short of something; neither the file nor a
    directory is to blame."""

    exit_code = ExitCode.INTERNAL


class TooManyOpenFiles(OutOfResources):
    """No further file or connection can be opened (EMFILE, ENFILE)."""


class OutOfMemory(OutOfResources):
    """The system, Python or SQLite has no memory left for this process."""


class RecursionTooDeep(OutOfResources):
    """A function called itself too often: a fault of the program, or nonsense that it
    followed too far."""
