"""What the command lines of all programs have: one line for what is wrong, and
completion of options in the shell (deploy/completion.bash)."""

import argparse
import os
from itertools import groupby
from textwrap import fill
from typing import NoReturn

from common.hints import hint


class Help(argparse.HelpFormatter):
    """One that fills paragraphs and keeps indented lines, such as examples."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        parts = groupby(text.splitlines(), key=lambda line: line[:1] in ("", " "))
        return "\n".join(
            "\n".join(lines)
            if whole
            else fill(
                " ".join(lines), width, initial_indent=indent, subsequent_indent=indent
            )
            for whole, lines in parts
        )


class Parser(argparse.ArgumentParser):
    """One that says what is wrong without a screen of all its options before it."""

    #: The subcommand that explains them, where that is not `prog --help`.
    subcommand = ""

    def error(self, message: str) -> NoReturn:
        """Exits with 2."""
        name = self.subcommand
        explains = hint(name, "--help") if name else f"{self.prog} --help"
        self.exit(2, f"{message} ({explains} explains the options)\n")


def offer_completion(parser: argparse.ArgumentParser) -> None:
    """Answers the shell and ends, when that is what the program was called for."""
    if "_ARGCOMPLETE" in os.environ:
        # A worker's start should not pay for it.
        import argcomplete

        argcomplete.autocomplete(parser)
