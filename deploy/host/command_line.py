"""The command line of `./start.sh`: its options, and those that contradict each other."""

import argparse
from collections.abc import Sequence

from common.arguments import Help, Parser, offer_completion
from common.clock import utc_now
from common.settings.command_line import add_options
from common.settings.load import Sources
from common.settings.programs import StartSettings
from common.settings.setting import settings_of
from deploy.host.contradictions import contradiction
from deploy.host.job import Mode
from migration.calibre.contradictory import objection

#: Options that are no settings.
_FLAGS = (
    "--demo",
    "--llm-enabled",
    "--adopt-library",
    "--rebind",
    "--no-dashboard",
    "--json",
    "--dry-run",
    "--foreground",
    "--no-monitor",
)
#: Where a monitor may stay.
WATCHING = (Mode.DAEMON, Mode.FOREGROUND)

_EPILOG = (
    "examples:\n  ./start.sh --demo\n  ./start.sh ~/Calibre\n"
    "  MBS2_PASSWORD=… ./start.sh --library ~/Calibre --server http://nas:6006 --workers 4\n"
    "  ./start.sh --library ~/Calibre --dry-run\n"
    "  ./start.sh --library ~/Calibre --tag Fantasy --tag Horror --not-format pdf\n"
    "  ./start.sh --library ~/Calibre --watch --every 15m\n\n"
    "exit status: 0 the monitor runs (--demo, --foreground: everything is "
    "accounted for); 2 wrong usage, or a "
    "monitor is running already; 3 the server does not answer or refuses the "
    "login; 4 the library cannot be read; "
    "5 the state directory cannot be written; 8 --demo: the audit found a "
    "difference, or something stands on the server that should not; 130 Ctrl-C"
)


def build_parser() -> argparse.ArgumentParser:
    """Returns the parser; values of settings stay text, which the loader parses."""
    parser = Parser(
        prog="./start.sh",
        usage="%(prog)s [options] [DIR]",
        description="Moves a Calibre library to a MyBookshelf2 server, unattended: "
        "starts the monitor, which starts "
        "the workers, keeps them going and ends when everything is accounted for. With "
        "--watch it stays, and migrates what changes in the library.",
        epilog=_EPILOG,
        formatter_class=Help,
        allow_abbrev=False,
    )
    parser.subcommand = "start"
    _add_library(parser)
    add_options(parser, StartSettings)
    parser.add_argument(
        "--llm-enabled",
        action="store_true",
        help="let the monitor ask an LLM for root causes and apply its fixes; "
        "OPENAI_API_KEY is in auto_monitor/.env",
    )
    parser.add_argument(
        "--adopt-library",
        action="store_true",
        help="go on although Calibre has restored the library, which gives it a new "
        "id; only when its books are the "
        "same",
    )
    parser.add_argument(
        "--rebind",
        action="store_true",
        help="go on although the server has a new address, which --server names; only "
        "when the newest files are there, by id and hash",
    )
    parser.add_argument(
        "--no-dashboard",
        action="store_true",
        help="do not serve the page on DASHBOARD_HOST:DASHBOARD_PORT",
    )
    _add_modes(parser)
    return parser


def _add_modes(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--json", action="store_true", help="with --dry-run: one JSON object"
    )
    parser.add_argument(
        "--dry-run",
        action="store_true",
        help="say what a run would do now, from the library and the ledger; start, send "
        "and write nothing (the monitor's own: auto_monitor/monitor.py --dry-run)",
    )
    parser.add_argument(
        "--foreground",
        action="store_true",
        help="run the monitor in the foreground (systemd, containers)",
    )
    parser.add_argument(
        "--no-monitor",
        action="store_true",
        help="start only the workers, without a monitor to restart them",
    )


def _add_library(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "folder",
        nargs="?",
        default=None,
        metavar="DIR",
        help="the Calibre library, as with --library",
    )
    parser.add_argument(
        "--demo",
        action="store_true",
        help="move the shipped demo library to the embedded server; all in demo/state/",
    )


def read_arguments(
    argv: Sequence[str],
) -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    """Returns the parser, and what it has read. DIR is the library.

    Exits with 2 on wrong usage.
    """
    parser = build_parser()
    offer_completion(parser)
    given = parser.parse_args(argv)
    if given.folder is not None:
        if given.library is not None:
            parser.error("DIR is the library, as is --library DIR: give one of them")
        given.library = given.folder
    return parser, given


def refuse(
    parser: argparse.ArgumentParser,
    given: argparse.Namespace,
    values: StartSettings,
    found: Sources,
) -> None:
    """Exits with 2 when options contradict each other."""
    options = {
        one.option for one in settings_of(StartSettings) if found.given(one.variable)
    } | {flag for flag in _FLAGS if getattr(given, flag[2:].replace("-", "_"))}
    if given.folder is not None:
        options = options - {"--library"} | {"DIR"}
    standing = {
        option
        for option, stands in (
            ("--server", values.server),
            ("--watch", values.watch),
            ("--delete-removed", values.delete_removed),
        )
        if stands
    }
    why = contradiction(options, standing) or objection(
        values, found, utc_now(), deletes=values.delete_removed
    )
    if why:
        parser.error(why)
    if values.watch and values.limit and mode_of(given) in WATCHING and not given.demo:
        parser.error("WATCH does not go with MIGRATE_LIMIT: it has no end")


def mode_of(given: argparse.Namespace) -> Mode:
    """Returns how it is to be run."""
    chosen = {
        Mode.DRY_RUN: given.dry_run,
        Mode.FOREGROUND: given.foreground,
        Mode.NO_MONITOR: given.no_monitor,
    }
    return next((mode for mode, wanted in chosen.items() if wanted), Mode.DAEMON)
