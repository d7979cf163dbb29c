"""`python -m deploy.migrator.container [OPTION …]`: the container's main program.

Options are those of `./start.sh`. The worker script is kept on the state volume, where
a code fix can replace it: the image itself is read-only. `start.sh --foreground` runs
as a child: it puts the image's script there (`auto_monitor/repair/upgrade.py` says
when), and becomes the monitor, which starts the workers. Signals are passed on.
"""

import argparse
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from auto_monitor.fix_applier import managed_script
from common.errors import with_code
from common.files.json_files import StateUnwritable, write_bytes
from common.settings.command_line import add_options, read_settings
from common.settings.shared import StateDir
from deploy import PROJECT
from migration.errors import ExitCode


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the monitor's exit status.

    143 when asked to stop before the pass was closed. So Docker's `on-failure` leaves a
    finished migration alone, and continues an interrupted one when the host is up.
    """
    options = sys.argv[1:] if argv is None else list(argv)
    given, _ = build_parser().parse_known_args(options)
    values, _ = read_settings(given, StateDir)
    state_dir = values.state_dir or Path("/state")
    try:
        if not {"--help", "-h"} & set(options):
            prepare(state_dir)
    except StateUnwritable as error:
        question = (
            f"{error}. In a container: is the volume mounted, and does it belong to "
            f"user {os.getuid()}:{os.getgid()}?"
        )
        sys.stderr.write(f"{with_code(question, error.code)}\n")
        return int(ExitCode.STATE)
    child = subprocess.Popen(
        [sys.executable, "-m", "deploy.launch", "--foreground", *options],
        cwd=PROJECT,
        env={
            **os.environ,
            "STATE_DIR": str(state_dir),
            "WORKER_SCRIPT": str(managed_script(state_dir)),
        },
    )
    asked = _pass_signals_on(child)
    status = child.wait()
    return 128 + asked[0] if asked and status == 0 else status


def build_parser() -> argparse.ArgumentParser:
    """What this program itself wants to know; ./start.sh is given all of it, too."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    add_options(parser, StateDir)
    return parser


def prepare(state_dir: Path) -> None:
    """Makes the worker script's folder on the volume; leaves a file in it.

    Raises StateUnwritable, OutOfResources.
    """
    write_bytes(managed_script(state_dir).with_name(".volume"), b"")


def _pass_signals_on(child: "subprocess.Popen[bytes]") -> list[int]:
    """Forwards SIGTERM and SIGINT to the child.

    Received signals are added to the result.
    """
    asked: list[int] = []

    def handle(number: int, _frame: FrameType | None) -> None:
        asked.append(number)
        child.send_signal(signal.SIGTERM)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)
    return asked


if __name__ == "__main__":
    sys.exit(main())
