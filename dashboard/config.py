"""The dashboard's command line."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from auto_monitor.cli.daemon import something_runs
from auto_monitor.config import PROJECT
from common.arguments import Help, Parser, offer_completion
from common.clock import birth_of
from common.errors import StateDirUnclear
from common.files.json_files import read_json
from common.hints import hint
from common.settings.command_line import add_options, read_settings
from common.settings.programs import DashboardSettings
from common.state_dir import HELP_FOUND
from migration.state_dirs import resolve

EPILOG = """\
examples:
  python -m dashboard                 serve the page until stopped; prints a link
                                      that works once
  python -m dashboard --link          print another link for a page that is being
                                      served
  python -m dashboard --report DIR    write report.html and report.json into DIR,
                                      and end

exit status: 0 stopped, or done; 2 wrong usage, or the port is taken; 5 the state
directory cannot be written
"""
#: Names under which the page may be requested; a name that resolves here by DNS
#: rebinding is not among them.
LOOPBACK = frozenset({"127.0.0.1", "localhost", "::1"})
#: What stands for all addresses is the name of none. Only compared, not bound.
EVERY_ADDRESS = frozenset({"0.0.0.0", "::", ""})  # noqa: S104


@dataclass(frozen=True, slots=True)
class DashboardConfig:
    """What one dashboard was asked to do."""

    state_dir: Path
    host: str
    port: int
    hosts: frozenset[str]
    public_url: str = ""
    show_link: bool = False
    link: bool = False
    report: Path | None = None
    pass_id: int | None = None
    keep: int = 0

    @property
    def folder(self) -> Path:
        """The dashboard's directory: links, sessions, token for scripts, identity."""
        return self.state_dir / "dashboard"


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser; values of settings stay text, which the loader parses."""
    parser = Parser(
        prog="python -m dashboard",
        description="Shows a migration as a web page: progress, workers, charts, "
        "what the monitor did, failed files. "
        "Reads the state directory and never writes what belongs to the migration.",
        epilog=EPILOG,
        formatter_class=Help,
        allow_abbrev=False,
    )
    parser.subcommand = "dashboard"
    add_options(parser, DashboardSettings, without={"state_dir"})
    parser.add_argument("--state-dir", metavar="DIR", default=None, help=HELP_FOUND)
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument(
        "--link",
        action="store_true",
        help="print a link that lets one browser in, once; then end",
    )
    mode.add_argument(
        "--show-link",
        action="store_true",
        help="serve the page and print a link also where standard output is no terminal "
        "(the log of a container)",
    )
    mode.add_argument(
        "--report",
        metavar="DIR",
        help="write report.html and report.json there; then end "
        "[no default; environment: none]",
    )
    parser.add_argument(
        "--pass",
        dest="pass_id",
        type=int,
        metavar="N",
        help="with --report: the pass it is about [default: the newest; environment: none]",
    )
    parser.add_argument(
        "--keep",
        type=int,
        metavar="N",
        default=0,
        help="with --report: also in DIR/pass-…, of the newest N passes [default: 0; "
        "environment: none]",
    )
    return parser


def read_config(argv: Sequence[str] | None = None) -> DashboardConfig:
    """Returns the configuration. Exits with status 2 and a message on wrong usage."""
    parser = build_parser()
    offer_completion(parser)
    given = parser.parse_args(argv)
    if given.pass_id is not None and not given.report:
        parser.error("--pass goes with --report")
    if given.keep < 0 or (given.keep and not given.report):
        parser.error("--keep N goes with --report, and is a number from 0 on")
    values, found = read_settings(given, DashboardSettings)
    return DashboardConfig(
        _state_dir(values.state_dir, found.texts(), argv, parser),
        values.host,
        values.port,
        LOOPBACK
        | values.allowed_hosts
        | ({values.host.lower(), _name(values.public_url)} - EVERY_ADDRESS),
        _reachable(values.public_url),
        given.show_link,
        given.link,
        Path(given.report).expanduser().resolve() if given.report else None,
        given.pass_id,
        given.keep,
    )


def _name(url: str) -> str:
    return (urlsplit(url).hostname or "") if url else ""


def _reachable(url: str) -> str:
    """A page that is published on every address is shown under one of this machine."""
    parts = urlsplit(url)
    if parts.hostname not in EVERY_ADDRESS:
        return url
    port = f":{parts.port}" if parts.port else ""
    return parts._replace(netloc=f"127.0.0.1{port}").geturl()


def _state_dir(
    given: Path | None,
    environment: Mapping[str, str],
    argv: Sequence[str] | None,
    parser: argparse.ArgumentParser,
) -> Path:
    if given is not None:
        return given.resolve()
    command = hint("dashboard", *(sys.argv[1:] if argv is None else argv))
    try:
        return resolve.for_command(environment, PROJECT, command, _runs)
    except StateDirUnclear as unclear:
        parser.exit(int(unclear.exit_code), f"{unclear}\n")


def _runs(state_dir: Path) -> bool:
    """Whether a migration or a dashboard runs there."""
    return something_runs(state_dir) or _is_served(state_dir)


def _is_served(state_dir: Path) -> bool:
    record = read_json(state_dir / "dashboard" / "server.json")
    if not isinstance(record, dict) or not isinstance(pid := record.get("pid"), int):
        return False
    return bool(birth := record.get("birth")) and birth_of(pid) == birth
