"""Options of the server: each with help, a default and an environment variable."""

import argparse
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """`port` 0 picks a free one.

    `delay_seconds`, `task_seconds`, `permissive`, `rated_index_fails` and `trouble` are
    for tests."""

    data_dir: Path
    host: str
    port: int
    username: str
    password: str
    permissive: bool
    delay_seconds: float
    task_seconds: float
    task_slots: int
    rated_index_fails: bool
    trouble: Path | None = None


def read_config(argv: Sequence[str] | None = None) -> ServerConfig:
    """The options of the command line and the environment. Exits with 2 on wrong
    usage."""
    env = os.environ
    parser = build_parser(env)
    given = parser.parse_args(argv)
    if given.data_dir is None:
        parser.error("no data directory given: use --data-dir DIR")
    if not 0 <= given.port <= 65535:
        parser.error(f"--port {given.port} is not between 0 and 65535")
    return ServerConfig(
        data_dir=Path(given.data_dir),
        host=given.host,
        port=given.port,
        username=env.get("MBS2_USERNAME") or "admin",
        password=env.get("MBS2_PASSWORD", ""),
        permissive=given.permissive,
        delay_seconds=max(0, given.delay_ms) / 1000,
        task_seconds=max(0, given.task_ms) / 1000,
        task_slots=max(1, given.task_slots),
        rated_index_fails=given.rated_index_fails,
        trouble=given.trouble,
    )


def build_parser(env: Mapping[str, str]) -> argparse.ArgumentParser:
    """The options, with the values of the environment as their defaults."""
    parser = argparse.ArgumentParser(
        prog="python -m bookshelf",
        description="A small bookshelf server that speaks MyBookshelf2's protocol, "
        "with pages to look at the books.",
        epilog="The first user is MBS2_USERNAME (default admin) with MBS2_PASSWORD; "
        "without it a password is made and "
        "written to DATA_DIR/credentials. Exit status: 0 stopped, 2 wrong usage, 5 "
        "data directory not usable.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        default=env.get("BOOKSHELF_DATA_DIR"),
        help="where database and files are kept; made when missing [no default; "
        "environment: BOOKSHELF_DATA_DIR]",
    )
    parser.add_argument(
        "--host",
        default=env.get("BOOKSHELF_HOST", "127.0.0.1"),
        help="address to listen on [default: 127.0.0.1; environment: BOOKSHELF_HOST]",
    )
    parser.add_argument(
        "--port",
        type=int,
        default=env.get("BOOKSHELF_PORT", "6006"),
        metavar="P",
        help="port to listen on, 0 for any free one [default: 6006; environment: BOOKSHELF_PORT]",
    )
    _add_test_options(parser, env)
    return parser


def _add_test_options(parser: argparse.ArgumentParser, env: Mapping[str, str]) -> None:
    parser.add_argument(
        "--permissive",
        action="store_true",
        default=env.get("BOOKSHELF_PERMISSIVE") == "1",
        help="for tests: nothing is unique, as in MyBookshelf2 [default: off; "
        "environment: BOOKSHELF_PERMISSIVE=1]",
    )
    parser.add_argument(
        "--delay-ms",
        type=int,
        default=env.get("BOOKSHELF_DELAY_MS", "0"),
        metavar="N",
        help="for tests: milliseconds added to each call [default: 0; environment: "
        "BOOKSHELF_DELAY_MS]",
    )
    parser.add_argument(
        "--task-ms",
        type=int,
        default=env.get("BOOKSHELF_TASK_MS", "0"),
        metavar="N",
        help="for tests: milliseconds each task takes at least [default: 0; "
        "environment: BOOKSHELF_TASK_MS]",
    )
    parser.add_argument(
        "--trouble",
        type=Path,
        metavar="FILE",
        default=env.get("BOOKSHELF_TROUBLE"),
        help="for tests: a file that says which trouble the server has now "
        "(bookshelf/trouble.py) [no default; "
        "environment: BOOKSHELF_TROUBLE]",
    )
    parser.add_argument(
        "--task-slots",
        type=int,
        default=env.get("BOOKSHELF_TASK_SLOTS", str(os.cpu_count() or 1)),
        metavar="N",
        help="tasks at the same time [default: number of processors; environment: "
        "BOOKSHELF_TASK_SLOTS]",
    )
    parser.add_argument(
        "--rated-index-fails",
        action="store_true",
        default=env.get("BOOKSHELF_RATED_INDEX_FAILS") == "1",
        help="for tests: /api/ebooks/index is HTTP 500 where it would list a rated "
        "ebook, as on MyBookshelf2 without "
        "simplejson [default: off; environment: BOOKSHELF_RATED_INDEX_FAILS=1]",
    )
