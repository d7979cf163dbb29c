"""The server's command line: every option with help, default and environment variable."""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from common.arguments import Parser
from common.settings.command_line import add_options, read_settings
from common.settings.programs import BookshelfSettings
from common.settings.setting import settings_of


@dataclass(frozen=True, kw_only=True)
class ServerConfig(BookshelfSettings):
    """What one server was asked to do. `port` 0 picks a free one."""

    data_dir: Path

    @property
    def delay_seconds(self) -> float:
        """For tests: what is added to each call."""
        return self.delay_ms / 1000

    @property
    def task_seconds(self) -> float:
        """For tests: what each task takes at least."""
        return self.task_ms / 1000


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser; values of settings stay text, which the loader parses."""
    parser = Parser(
        prog="python -m bookshelf",
        description="A small bookshelf server that speaks MyBookshelf2's protocol, "
        "with pages to look at the books.",
        epilog="The first user is MBS2_USERNAME (default admin) with MBS2_PASSWORD; "
        "without it a password is made and written to DATA_DIR/credentials. Exit "
        "status: 0 stopped, 2 wrong usage, 5 data directory not usable.",
        allow_abbrev=False,
    )
    parser.subcommand = "server"
    add_options(parser, BookshelfSettings)
    return parser


def read_config(argv: Sequence[str] | None = None) -> ServerConfig:
    """The settings of every source. Exits with 2 and a sentence on wrong usage."""
    parser = build_parser()
    values, _ = read_settings(parser.parse_args(argv), BookshelfSettings)
    if values.data_dir is None:
        parser.error("no data directory given: use --data-dir DIR")
    known = {
        one.field: getattr(values, one.field) for one in settings_of(BookshelfSettings)
    }
    return ServerConfig(**{**known, "data_dir": values.data_dir})
