"""The commands for which library, server and ledger are open: one of them is chosen."""

from collections.abc import Callable
from functools import partial
from typing import Protocol, TypeVar

from migration.errors import ExitCode, FalseClaim
from migration.worker.checking import spot_check
from migration.worker.parts import Built
from migration.worker.resources import Resources
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


def command(migrator: Migrator, built: Built) -> ExitCode:
    """Runs what the options ask for; returns the exit status. Raises Fatal, Stopping."""
    opened, options = built.opened, built.opened.options
    if options.open_pass:
        return _open_pass(migrator, opened)
    if options.undo is not None:
        from migration.commands import undo

        return undo.undo(opened, partial(answered, migrator.ask_server))
    if options.verify:
        from migration.commands import verify

        return verify.verify(opened, partial(answered, migrator.read_library))
    migrator.migrate()
    # Whatever the script says of its end.
    return built.conclusion.status()


def answered(wait: Callable[[Callable[[], T]], T], ask: Callable[[], T]) -> T:
    """Asks with the script's way of waiting; returns what `ask` itself answered.

    Raises FalseClaim when the script goes on without an answer.
    """
    answers: list[T] = []

    def kept() -> T:
        answers.append(ask())
        return answers[-1]

    wait(kept)
    if not answers:
        raise FalseClaim(
            "the worker's script claims that library or server have answered, and "
            "nobody asked them"
        )
    return answers[-1]


def _open_pass(migrator: Migrator, opened: Resources) -> ExitCode:
    """Opens a pass unless one is open; its work is left to joining workers."""
    highest = answered(migrator.read_library, opened.library.highest_book_id)
    listed = answered(migrator.read_library, opened.library.file_count)
    scope = answered(migrator.read_library, partial(scope_of, opened.library))
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
        answered(migrator.read_library, partial(agree, opened, pass_id))
        answered(migrator.ask_server, partial(spot_check(opened).begin, pass_id))
    return ExitCode.OK
