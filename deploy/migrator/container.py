"""`python -m deploy.migrator.container [OPTION …]`: what the migrator container runs; options
are those of `./start.sh`.

The worker script is kept on the state volume, where a code fix can replace it: the
image itself is read-only. Then `start.sh --foreground` as a child: the monitor, which
starts the workers. Signals are passed on."""

import argparse
import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from types import FrameType

from common.clock import utc_now
from common.errors import with_code
from common.files.json_files import StateUnwritable, write_bytes
from common.settings.command_line import add_options, read_settings
from common.settings.shared import StateDir
from deploy import PROJECT
from migration.errors import ExitCode

SCRIPT = "bulk_migrate_calibre.py"


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the monitor's exit status; 143 when it was asked to stop before the pass
    was closed.

    So Docker's `on-failure` lets a finished migration rest, and goes on with an
    interrupted one when the host is up."""
    options = sys.argv[1:] if argv is None else list(argv)
    given, _ = build_parser().parse_known_args(options)
    values, _ = read_settings(given, StateDir)
    state_dir = values.state_dir or Path("/state")
    try:
        script, said = place_script(PROJECT / SCRIPT, state_dir, utc_now())
    except StateUnwritable as error:
        question = (
            f"{error}. In a container: is the volume mounted, and does it belong to "
            f"user {os.getuid()}:{os.getgid()}?"
        )
        sys.stderr.write(f"{with_code(question, error.code)}\n")
        return int(ExitCode.STATE)
    if said:
        sys.stderr.write(f"{said}\n")
    child = subprocess.Popen(
        [sys.executable, "-m", "deploy.launch", "--foreground", *options],
        cwd=PROJECT,
        env={**os.environ, "STATE_DIR": str(state_dir), "WORKER_SCRIPT": str(script)},
    )
    asked = _pass_signals_on(child)
    status = child.wait()
    return 128 + asked[0] if asked and status == 0 else status


def build_parser() -> argparse.ArgumentParser:
    """What this program itself wants to know; ./start.sh is given all of it, too."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    add_options(parser, StateDir)
    return parser


def _pass_signals_on(child: "subprocess.Popen[bytes]") -> list[int]:
    """From now on TERM and INT go to the child; the returned list holds those that
    came."""
    asked: list[int] = []

    def handle(number: int, _frame: FrameType | None) -> None:
        asked.append(number)
        child.send_signal(signal.SIGTERM)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)
    return asked


def place_script(shipped: Path, state_dir: Path, now: datetime) -> tuple[Path, str]:
    """The worker script on the volume, and what to tell about it.

    It stays as it is, repaired or not, as long as the image ships the script it was
    copied from. With a new image the new script takes its place, because a repair of
    the old one may not fit; a repaired one is kept beside the proposals. Raises
    StateUnwritable."""
    folder = state_dir / "worker"
    script, origin = folder / SCRIPT, folder / "shipped.sha256"
    data = shipped.read_bytes()
    ships, copied_from = _digest(data), _text(origin)
    found = script.read_bytes() if script.is_file() else None
    if found is not None and copied_from == ships:
        return script, ""
    said = ""
    if found is not None and _digest(found) not in (copied_from, ships):
        kept = (
            state_dir
            / "auto_monitor"
            / "proposals"
            / f"{SCRIPT}.{now:%Y%m%dT%H%M%SZ}.before-update"
        )
        write_bytes(kept, found)
        said = f"The image brings a new {SCRIPT}; the repaired one it replaces is kept as {kept}"
    write_bytes(script, data)
    write_bytes(origin, f"{ships}\n".encode("ascii"))
    return script, said


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _text(path: Path) -> str:
    try:
        return path.read_text("ascii").strip()
    except (OSError, ValueError):
        return ""


if __name__ == "__main__":
    sys.exit(main())
