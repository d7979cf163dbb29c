"""`python -m migration.commands.audit LIBRARY … --books 1,2`: reads books back now.

With the options of a worker. One line for each difference; exit status 0 without any, 8
with some. The monitor asks this before a repaired script is promoted, about the books
that the script under trial has carried.
"""

import argparse
import signal
import sys
from collections.abc import Sequence
from pathlib import Path

from common.errors import told
from migration.audit import run
from migration.audit.findings import Finding
from migration.audit.messages import Message
from migration.errors import ExitCode, Fatal, MigrationError
from migration.model import BookId
from migration.worker.checking import order_of
from migration.worker.options import read_options

#: Seconds after which it ends, whatever it waits for.
LONGEST = 600


def main(argv: Sequence[str] | None = None) -> int:
    """Reads the books back; returns the exit status."""
    signal.alarm(LONGEST)
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--books", required=True)
    given, rest = parser.parse_known_args(argv)
    books = tuple(BookId(int(number)) for number in given.books.split(","))
    options = read_options(rest, Path(__file__).resolve().parents[2])
    found: list[Finding] = []

    def tell(message: Message) -> None:
        if isinstance(message, Finding):
            found.append(message)
            sys.stdout.write(f"{message.kind}: {message.message}\n")

    try:
        run.audit(order_of(options, books), tell)
    except MigrationError as error:
        sys.stderr.write(f"{told(error)}\n")
        return int(error.exit_code if isinstance(error, Fatal) else ExitCode.INTERNAL)
    return int(ExitCode.DIFFERENCE if found else ExitCode.OK)


if __name__ == "__main__":
    sys.exit(main())
