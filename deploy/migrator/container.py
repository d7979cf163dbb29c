"""`python -m deploy.migrator.container [OPTION …]`: the container's main program.

Options are those of `./start.sh`. The worker script is kept on the state volume, where
a code fix can replace it: the image itself is read-only. `start.sh --foreground` runs
as a child: it puts the image's script there (`auto_monitor/repair/upgrade.py` says
when), and becomes the monitor, which starts the workers. Signals are passed on. The
page is a container of its own, which stays when this one has ended.
"""

import argparse
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from auto_monitor.fix_applier import managed_script
from common.errors import with_code
from common.files.json_files import StateUnwritable, write_bytes
from common.hints import hint
from common.settings.command_line import add_options
from common.settings.load import Sources
from common.settings.programs import ContainerSettings, KeepSettings
from deploy import PROJECT
from deploy.migrator.keep import (
    NO_RESTARTS,
    Stop,
    keep,
    read_or_stay,
    refuse,
    say,
)
from deploy.migrator.reading import why_unreadable
from deploy.needed import without
from migration.errors import ExitCode, LibraryUnreadable


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the monitor's exit status.

    143 when asked to stop before the pass was closed: an interrupted migration is told
    from a finished one.
    """
    options = sys.argv[1:] if argv is None else list(argv)
    start = [sys.executable, "-m", "deploy.launch", "--foreground", "--no-dashboard"]
    start += options
    if {"--help", "-h"} & set(options):
        return subprocess.run(start, cwd=PROJECT, check=False).returncode
    given, _ = build_parser().parse_known_args(options)
    stop = Stop.on_signals()
    values, found = read_or_stay(given, ContainerSettings, stop)
    if why := _why_not(values, found):
        return refuse(*why, values, stop)
    state_dir = values.state_dir or Path("/state")
    try:
        prepare(state_dir)
    except StateUnwritable as error:
        question = (
            f"{error}. In a container: is the volume mounted, and does it belong to "
            f"user {os.getuid()}:{os.getgid()} (MIGRATOR_UID, MIGRATOR_GID)?"
        )
        sentence = with_code(question, error.code)
        return refuse(sentence, ExitCode.STATE, values, stop)
    environment = {
        **os.environ,
        "STATE_DIR": str(state_dir),
        "WORKER_SCRIPT": str(managed_script(state_dir)),
    }
    return migrate(start, environment, values, stop)


def migrate(
    start: Sequence[str],
    environment: Mapping[str, str],
    values: KeepSettings,
    stop: Stop,
) -> int:
    """Returns the migration's status; says how it goes on after a stop or a reboot."""
    if values.restart_policy == NO_RESTARTS:
        say(
            f"After a reboot of this machine {hint('start')} goes on; with "
            "MIGRATOR_RESTART=on-failure in .env Docker does so by itself"
        )
    status = keep(start, environment, values, stop)
    if status > 128:
        say(f"Stopped before its end; {hint('start')} goes on")
    return status


def _why_not(values: ContainerSettings, found: Sources) -> tuple[str, int] | None:
    """Returns why nothing can be started, and the exit status; None if it can."""
    if found.find("MBS2_PASSWORD") is None:
        return without("MBS2_PASSWORD"), ExitCode.USAGE
    why = why_unreadable(values.library) if values.library else ""
    if why:
        return with_code(why, LibraryUnreadable.code), ExitCode.LIBRARY
    return None


def build_parser() -> argparse.ArgumentParser:
    """What this program itself wants to know; ./start.sh is given all of it, too."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    add_options(parser, ContainerSettings)
    return parser


def prepare(state_dir: Path) -> None:
    """Makes the worker script's folder on the volume; leaves a file in it.

    Raises StateUnwritable, OutOfResources.
    """
    write_bytes(managed_script(state_dir).with_name(".volume"), b"")


if __name__ == "__main__":
    sys.exit(main())
