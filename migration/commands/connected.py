"""The commands for which library, server and ledger are open: one of them is chosen."""

from collections.abc import Callable
from functools import partial
from typing import Protocol, TypeVar

from migration.errors import ExitCode
from migration.worker.parts import Parts
from migration.worker.selecting import agree, scope_of

T = TypeVar("T")


class Migrator(Protocol):
    """The interface of the policy script that commands use."""

    def check_api_connectivity(self) -> bool:
        """Logs in, waiting up to a minute."""

    def read_library(self, read: Callable[[], T]) -> T:
        """Reads from the library, waiting while Calibre has it locked."""

    def ask_server(self, ask: Callable[[], T]) -> T:
        """Asks the server, waiting while it does not answer."""

    def migrate(self) -> ExitCode:
        """Sends all books of this worker's share."""


def command(migrator: Migrator, parts: Parts) -> ExitCode:
    """Runs what the options ask for; returns the exit status. Raises Fatal, Stopping."""
    options = parts.resources.options
    if options.open_pass:
        return _open_pass(migrator, parts)
    if options.undo is not None:
        from migration.commands import undo

        return undo.undo(parts.resources, migrator.ask_server)
    if options.verify:
        from migration.commands import verify

        return verify.verify(parts.resources, migrator.read_library)
    return migrator.migrate()


def _open_pass(migrator: Migrator, parts: Parts) -> ExitCode:
    """Opens a pass unless one is open; its work is left to joining workers."""
    opened = parts.resources
    highest = migrator.read_library(opened.library.highest_book_id)
    listed = migrator.read_library(opened.library.file_count)
    scope = migrator.read_library(partial(scope_of, opened.library))
    pass_id = opened.ledger.passes.join(
        highest, may_open=True, listed=listed, scope=scope
    )
    opened.log.info(
        "Pass %s is open up to book %d; the library lists %d files",
        pass_id,
        highest,
        listed,
    )
    if pass_id is not None:
        migrator.read_library(partial(agree, opened, pass_id))
        migrator.ask_server(partial(parts.spot_check.begin, pass_id))
    return ExitCode.OK
