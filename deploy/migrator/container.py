"""`python -m deploy.migrator.container [OPTION …]`: the container's main program.

Options are those of `./start.sh`. The worker script is kept on the state volume, where
a code fix can replace it: the image itself is read-only. Then `start.sh --foreground`
runs as a child: the monitor, which starts the workers. Signals are passed on. The page
is a container of its own, which stays when this one has ended.
"""

import argparse
import hashlib
import os
import sys
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from common.clock import utc_now
from common.errors import with_code
from common.files.json_files import StateUnwritable, write_bytes
from common.settings.command_line import add_options
from common.settings.load import Sources
from common.settings.programs import ContainerSettings
from deploy import PROJECT
from deploy.migrator.keep import Stop, keep, read_or_stay, refuse
from deploy.migrator.reading import why_unreadable
from deploy.needed import without
from migration.errors import ExitCode, LibraryUnreadable

SCRIPT = "bulk_migrate_calibre.py"


def main(argv: Sequence[str] | None = None) -> int:
    """Returns the monitor's exit status.

    143 when asked to stop before the pass was closed: an interrupted migration is told
    from a finished one.
    """
    options = sys.argv[1:] if argv is None else list(argv)
    given, _ = build_parser().parse_known_args(options)
    stop = Stop.on_signals()
    values, found = read_or_stay(given, ContainerSettings, stop)
    if why := _why_not(values, found):
        return refuse(*why, values, stop)
    state_dir = values.state_dir or Path("/state")
    try:
        script, said = place_script(PROJECT / SCRIPT, state_dir, utc_now())
    except StateUnwritable as error:
        question = (
            f"{error}. In a container: is the volume mounted, and does it belong to "
            f"user {os.getuid()}:{os.getgid()} (MIGRATOR_UID, MIGRATOR_GID)?"
        )
        sentence = with_code(question, error.code)
        return refuse(sentence, ExitCode.STATE, values, stop)
    if said:
        sys.stderr.write(f"{said}\n")
    return keep(
        [
            sys.executable,
            "-m",
            "deploy.launch",
            "--foreground",
            "--no-dashboard",
            *options,
        ],
        {**os.environ, "STATE_DIR": str(state_dir), "WORKER_SCRIPT": str(script)},
        values,
        stop,
    )


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


def place_script(shipped: Path, state_dir: Path, now: datetime) -> tuple[Path, str]:
    """Puts the worker script on the volume; returns its path and a message, or "".

    It stays as it is, repaired or not, as long as the image has the script it was
    copied from. With a new image the new script takes its place, because a repair of
    the old one may not fit; a repaired one is kept beside the proposals. Raises
    StateUnwritable.
    """
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
