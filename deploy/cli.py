"""`./migrate` of a checkout and `calibre-to-mbs2` of an installed package.

Each subcommand is a program, which replaces this process. So its command line is the
one by which the monitor and `stop` recognise it, and no subcommand pays for the imports
of another.
"""

import difflib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from common.hints import hint
from deploy import PROJECT

_WORKER = (str(PROJECT / "bulk_migrate_calibre.py"),)
_MONITOR = (str(PROJECT / "auto_monitor" / "monitor.py"),)


def _module(name: str) -> tuple[str, ...]:
    # -P: a folder of that name in the current directory must not be imported.
    return ("-P", "-m", name)


#: Each subcommand with what it does and the arguments of Python that start it; its own
#: arguments follow.
SUBCOMMANDS = {
    "start": ("start a migration and its monitor", _module("deploy.begin")),
    "watch": (
        "the same; it stays, and migrates what changes in the library",
        (*_module("deploy.begin"), "--watch"),
    ),
    "stop": ("stop the monitor, workers and servers", _module("deploy.stop")),
    "status": ("show the progress of the migration", (*_MONITOR, "--status")),
    "plan": ("say what a run would do now", (*_WORKER, "--dry-run")),
    "verify": ("compare every file with the server", (*_WORKER, "--verify")),
    "recheck": (
        "the same; what the server has lost is sent by the next run",
        (*_WORKER, "--recheck"),
    ),
    "retry": ("try again what failed", (*_WORKER, "--retry-failed")),
    "reopen": (
        "make failed files pending again, for the next run: reopen BOOK:FORMAT, --all",
        _module("migration.commands.retry"),
    ),
    "export": ("write the map of ids: export FILE", (*_WORKER, "--export-map")),
    "undo": ("take back what a pass made: undo PASS", (*_WORKER, "--undo")),
    "report": ("write the report: report DIR", (*_module("dashboard"), "--report")),
    "link": ("print a link to the dashboard", (*_module("dashboard"), "--link")),
    "resume": ("resume a paused worker: resume N", (*_MONITOR, "--resume")),
    "diff": ("show what code fixes have changed", (*_MONITOR, "--diff")),
    "rollback": ("take the newest code fix back", (*_MONITOR, "--rollback")),
    "apply": (
        "put a proposed code fix in place: apply PROPOSAL",
        (*_MONITOR, "--apply"),
    ),
    "explain": ("say what the code of an error means", _module("common.errors")),
    "serve": ("start the embedded server of a migration", _module("deploy.serve")),
    "worker": ("run one worker by hand", _WORKER),
    "monitor": ("run the monitor by hand", _MONITOR),
    "server": ("run an embedded server by hand", _module("bookshelf")),
    "dashboard": ("run the dashboard by hand", _module("dashboard")),
}


def main() -> int:
    """Becomes the program of the subcommand; returns only when there is none."""
    given = sys.argv[1:]
    if given[:1] in ([], ["-h"], ["--help"]):
        sys.stdout.write(usage())
        return 0 if given else 2
    command = command_line(given)
    if command is None:
        like = difflib.get_close_matches(given[0], SUBCOMMANDS, 1)
        meant = f"; did you mean {like[0]}?" if like else ""
        every = hint("--help")
        sys.stderr.write(f"{given[0]!r} is not a command{meant} ({every} lists them)\n")
        return 2
    return _become(command)


def _become(command: list[str]) -> NoReturn:
    os.execve(sys.executable, command, _environment())  # noqa: S606 - a list, no shell


def _environment() -> dict[str, str]:
    """Returns the environment, without links to logs for an installed package.

    Such links would be put beside the libraries.
    """
    kept = dict(os.environ)
    if not (PROJECT / "start.sh").exists():
        kept.setdefault("CHECKOUT_LINKS", "0")
    return kept


def command_line(given: Sequence[str]) -> list[str] | None:
    """Returns the command line of a subcommand; None when it does not exist."""
    name, *options = given
    if name not in SUBCOMMANDS:
        return None
    program = list(SUBCOMMANDS[name][1])
    if options[:1] in (["-h"], ["--help"]):
        # An option that wants a value would take this for one.
        while program[-1].startswith("--"):
            program.pop()
    return [sys.executable, *program, *options]


def usage() -> str:
    """The subcommands, a line each, and where settings are looked for."""
    # Imported here: whoever becomes another program need not pay for it.
    from common.settings.load import FILES

    lines = [f"  {name:10} {what}" for name, (what, _) in SUBCOMMANDS.items()]
    return "\n".join(
        [
            f"usage: {hint('COMMAND')} [options]",
            "",
            *lines,
            "",
            "Without --state-dir and library they are about the migration that runs, or",
            "else about the last one.",
            f"{hint('COMMAND', '--help')} explains the options of one.",
            "Settings come from options, then the environment, then these files:",
            *(f"  {PROJECT / name}" for name in FILES),
            "",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
