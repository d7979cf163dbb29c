"""Completion of options in the shell (deploy/completion.bash)."""

import argparse
import os


def offer_completion(parser: argparse.ArgumentParser) -> None:
    """Answers the shell and ends, when that is what the program was called for."""
    if "_ARGCOMPLETE" in os.environ:
        # A worker's start should not pay for it.
        import argcomplete

        argcomplete.autocomplete(parser)
