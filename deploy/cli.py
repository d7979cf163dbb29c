"""`calibre-to-mbs2`: the command of an installed package; each subcommand is a program.

The program takes the place of this process. So its command line is the one that the
monitor and `stop` know it by, and no subcommand pays for the imports of another.
"""

import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from deploy import PROJECT

_WORKER = (str(PROJECT / "bulk_migrate_calibre.py"),)
_MONITOR = (str(PROJECT / "auto_monitor" / "monitor.py"),)


def _module(name: str) -> tuple[str, ...]:
    # -P: a folder of that name where the user happens to stand is not meant.
    return ("-P", "-m", name)


#: name: what it does, and the arguments of Python that start it.
SUBCOMMANDS = {
    "start": ("start a migration and its monitor", _module("deploy.launch")),
    "stop": ("stop the monitor, workers and servers", _module("deploy.stop")),
    "status": ("show how the migration gets on", (*_MONITOR, "--status")),
    "verify": ("compare every file with the server", (*_WORKER, "--verify")),
    "worker": ("run one worker by hand", _WORKER),
    "monitor": ("run the monitor by hand", _MONITOR),
    "server": ("run the embedded server", _module("bookshelf")),
    "dashboard": ("run the dashboard", _module("dashboard")),
}


def main() -> int:
    """Becomes the program of the subcommand; returns only when there is none."""
    given = sys.argv[1:]
    if given[:1] in ([], ["-h"], ["--help"]):
        sys.stdout.write(usage())
        return 0 if given else 2
    command = command_line(given)
    if command is None:
        sys.stderr.write(f"{given[0]!r} is not a command\n\n{usage()}")
        return 2
    return _become(command)


def _become(command: list[str]) -> NoReturn:
    os.execve(sys.executable, command, _environment())  # noqa: S606 - a list, no shell


def _environment() -> dict[str, str]:
    """Where the libraries are installed nobody looks for links to the last run's
    logs."""
    kept = dict(os.environ)
    if not (PROJECT / "start.sh").exists():
        kept.setdefault("CHECKOUT_LINKS", "0")
    return kept


def command_line(given: Sequence[str]) -> list[str] | None:
    """The command line that a subcommand stands for; None when there is no such one."""
    name, *options = given
    if name not in SUBCOMMANDS:
        return None
    return [sys.executable, *SUBCOMMANDS[name][1], *options]


def usage() -> str:
    """The subcommands, a line each, and where settings are looked for."""
    # Imported here: whoever becomes another program need not pay for it.
    from common.settings.load import FILES

    lines = [f"  {name:10} {what}" for name, (what, _) in SUBCOMMANDS.items()]
    return "\n".join(
        [
            "usage: calibre-to-mbs2 COMMAND [options]",
            "",
            *lines,
            "",
            "calibre-to-mbs2 COMMAND --help explains the options of one.",
            "Settings come from options, then the environment, then these files:",
            *(f"  {PROJECT / name}" for name in FILES),
            "",
        ]
    )
