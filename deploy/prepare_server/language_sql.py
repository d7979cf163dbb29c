"""Writes the languages of ISO 639-1 into prepare_server.sql.

`python -m deploy.prepare_server.language_sql [--check]`. They are generated rather than
inserted by the command, since the SQL file must be complete for users who have only
psql. The names are those of the embedded server, so that a library finds the same
languages on both.
"""

import argparse
import sys
from pathlib import Path

from bookshelf.storage.vocabulary import languages

SQL = Path(__file__).with_name("prepare_server.sql")
BEGIN, END = "SET prepare_server.languages = $list$\n", "$list$;\n"


def main() -> int:
    """Writes or checks the file; with --check returns 1 when it is not up to date."""
    parser = argparse.ArgumentParser(
        prog="python -m deploy.prepare_server.language_sql",
        description="Writes the languages of ISO 639-1 into prepare_server.sql.",
        epilog="exit status: 0 done, or the file is right; 1 with --check: it is not",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="write nothing; say whether the file is up to date",
    )
    given = parser.parse_args()
    text = SQL.read_text("utf-8")
    wanted = with_languages(text)
    if given.check and text != wanted:
        sys.stderr.write(
            f"{SQL} is not what `python -m deploy.prepare_server.language_sql` writes; run it\n"
        )
        return 1
    if text != wanted:
        SQL.write_text(wanted, "utf-8")
    return 0


def with_languages(text: str) -> str:
    """Returns the SQL file with its list updated: `code name` lines by code."""
    head, _, rest = text.partition(BEGIN)
    _, _, tail = rest.partition(END)
    rows = sorted((code, name) for _number, code, name in languages())
    return (
        head + BEGIN + "".join(f"{code} {name}\n" for code, name in rows) + END + tail
    )


if __name__ == "__main__":
    sys.exit(main())
