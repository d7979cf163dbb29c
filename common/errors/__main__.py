"""`python -m common.errors`: explains a code or, without one, writes docs/errors.md."""

import argparse
import sys
from pathlib import Path

from common.errors import catalogue
from common.errors.page import explained, page

PAGE = Path(__file__).resolve().parent.parent.parent / "docs" / "errors.md"


def main() -> int:
    """Returns 1 with --check when the page is out of date, 2 for an unknown code."""
    parser = argparse.ArgumentParser(
        prog="python -m common.errors",
        description="Explains the code of an error. Without one it writes docs/errors.md "
        "from the catalogue in common/errors/texts/.",
        epilog="Exit status: 0 done; 1 --check: the page is not up to date; 2 no such code.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "code", nargs="?", metavar="CODE", help="such as ledger-damaged"
    )
    parser.add_argument("--check", action="store_true", help="write nothing; only say")
    given = parser.parse_args()
    if given.code is not None:
        entry = catalogue.find(given.code.strip("[]"))
        if entry is None:
            parser.error(
                f"no error has the code {given.code!r}; docs/errors.md has all"
            )
        sys.stdout.write(explained(entry))
        return 0
    if not PAGE.parent.is_dir():
        parser.error("name a code; the page is written in a checkout only")
    text = page(catalogue.sections())
    if PAGE.exists() and PAGE.read_text("utf-8") == text:
        return 0
    if not given.check:
        PAGE.write_text(text, "utf-8")
    sys.stdout.write(
        f"{PAGE.name} {'is not up to date' if given.check else 'is written'}\n"
    )
    return int(given.check)


if __name__ == "__main__":
    sys.exit(main())
