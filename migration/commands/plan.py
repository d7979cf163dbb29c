"""`--dry-run`: what a run would do now, and how long it may take.

It asks the library and the ledger, not the server; it sends nothing, writes nothing, not
even a log, and may be used while a migration runs.
"""

import json
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from common.clock import utc_now
from common.errors import told
from migration.calibre.library import CalibreLibrary
from migration.calibre.lock_wait import LockWait
from migration.calibre.selection import asked
from migration.commands.foresight import Foresight
from migration.commands.plan_view import Shown, as_json, estimate, table
from migration.errors import ExitCode, Fatal, MigrationError
from migration.ledger.reader import LedgerReader
from migration.state_files.names import LEDGER_NAME
from migration.worker import selecting
from migration.worker.options import Options


def run(options: Options) -> ExitCode:
    """Prints the plan, for people or as one JSON object."""
    try:
        shown = make(options)
    except MigrationError as error:
        sys.stderr.write(f"{told(error)}\n")
        return error.exit_code if isinstance(error, Fatal) else ExitCode.INTERNAL
    if options.json:
        sys.stdout.write(json.dumps(as_json(shown), ensure_ascii=False) + "\n")
        return ExitCode.OK
    # rich is imported where a plan is shown, not at every start of a worker.
    from rich.console import Console

    console = Console()
    console.print(table(shown))
    for sentence in (estimate(shown), *shown.not_known):
        console.print(
            f"{sentence[:1].upper()}{sentence[1:]}.".replace("..", "."),
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
    return ExitCode.OK


def make(options: Options) -> Shown:
    """Returns what a run would do. Raises Fatal."""
    lock = LockWait(_say, seconds=options.library_lock_seconds)
    ledger = LedgerReader(options.state_dir / LEDGER_NAME)
    with _library(options, lock) as library:
        found = ledger.open_pass()
        selection = asked(options, utc_now())
        if found is not None:
            theirs = selecting.of_scope(found.scope)
            if selection:
                selecting.refuse_another(selection, theirs, found.pass_id)
            selection = theirs
        lock.read(lambda: selecting.narrow(library, selection, strictly=found is None))
        foresight = Foresight(library, ledger, options, lock)
        scope = selecting.scope_of(library) if selection else ""
        return Shown(
            foresight.plan(),
            options,
            selection,
            json.loads(scope) if scope else None,
            options.rate or ledger.rate(),
            None if found is None else found.pass_id,
            ledger.is_there,
        )


@contextmanager
def _library(options: Options, lock: LockWait) -> Iterator[CalibreLibrary]:
    """Opens the library; a private copy, where one is needed, is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="calibre-library-") as private:
        opened = lock.read(
            lambda: CalibreLibrary(
                options.library,
                Path(private),
                busy_timeout_seconds=options.library_busy_seconds,
            )
        )
        with opened as library:
            yield library


def _say(sentence: str) -> None:
    sys.stderr.write(f"{sentence}\n")
