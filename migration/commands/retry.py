"""`python -m migration.commands.retry`: makes failed files pending again.

All of them, or those named. It is a process of its own for programs that may not write
the ledger. While the pass is open any worker takes the files up at once, because their
ranges are reopened; otherwise the next pass does.
"""

import argparse
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from common.arguments import Parser
from common.errors import told
from common.hints import hint
from common.settings.command_line import read_settings
from common.settings.shared import StateDir
from common.state_dir import HELP_FOUND
from migration.errors import ExitCode, Fatal, MigrationError, NothingMigrated
from migration.ledger.database import LedgerDatabase
from migration.ledger.tables import passes
from migration.model import BookId, FileId, Outcome
from migration.state_dirs import resolve
from migration.state_files.names import LEDGER_NAME

PROJECT = Path(__file__).resolve().parents[2]


def retry(state_dir: Path, files: Iterable[FileId] | None) -> int:
    """Makes failed files pending, all of them when `files` is None.

    Returns how many were. Raises WrongLedger when there is no ledger, and what opening
    one raises.
    """
    path = state_dir / LEDGER_NAME
    if not path.exists():
        raise NothingMigrated(
            f"{path} is not there: nothing was migrated with this --state-dir"
        )
    database = LedgerDatabase(path)
    try:
        with database.transaction() as db:
            if files is None:
                return passes.reopen_failed(db)
            return sum(passes.reopen_file(db, file, Outcome.FAILED) for file in files)
    finally:
        database.close()


def main(argv: Sequence[str] | None = None) -> int:
    """Prints how many files are pending again; returns the exit status.

    0 done, 2 wrong usage or no ledger, 5 the ledger cannot be written now, 9 it is
    damaged.
    """
    parser = build_parser()
    given = parser.parse_args(argv)
    if bool(given.files) == given.all:
        parser.error("name files, or give --all")
    values, found = read_settings(given, StateDir)
    try:
        state_dir = values.state_dir or _found(found.texts(), argv)
        done = retry(state_dir, None if given.all else given.files)
    except MigrationError as error:
        sys.stderr.write(f"{told(error)}\n")
        return int(error.exit_code if isinstance(error, Fatal) else ExitCode.STATE)
    sys.stdout.write(f"{done} files are pending again\n")
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser; values of settings stay text, which the loader parses."""
    parser = Parser(
        prog="python -m migration.commands.retry",
        description="Makes failed files pending again. The open pass, or else the next "
        "one, retries them.",
        epilog="exit status: 0 done; 2 wrong usage, or there is no ledger; 5 the "
        "ledger cannot be written now; "
        "9 it is damaged",
        allow_abbrev=False,
    )
    parser.subcommand = "reopen"
    parser.add_argument(
        "files",
        nargs="*",
        type=file_id,
        metavar="BOOK:FORMAT",
        help="such as 17:EPUB [no default; environment: none]",
    )
    parser.add_argument("--all", action="store_true", help="every failed file")
    parser.add_argument("--state-dir", metavar="DIR", default=None, help=HELP_FOUND)
    return parser


def _found(environment: Mapping[str, str], argv: Sequence[str] | None) -> Path:
    """The one of the migration that runs, or else of the last one."""
    words = sys.argv[1:] if argv is None else argv
    return resolve.for_command(environment, PROJECT, hint("reopen", *words))


def file_id(text: str) -> FileId:
    """Parses `17:EPUB`. Raises ArgumentTypeError."""
    book, colon, kind = text.partition(":")
    if not (colon and kind and book.isdecimal() and len(book) <= 18):
        raise argparse.ArgumentTypeError(
            f"{text!r} is not BOOK:FORMAT, such as 17:EPUB"
        )
    return FileId(BookId(int(book)), kind)


if __name__ == "__main__":
    sys.exit(main())
