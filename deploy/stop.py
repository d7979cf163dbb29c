"""`./stop.sh`: asks workers, then the embedded server, to end; waits; kills only what is provably ours."""

import argparse
import contextlib
import sys
from collections.abc import Callable
from pathlib import Path

import psutil

from deploy.processes import Recorded, launcher, server, workers
from migration.options import environment_with_files

PROJECT = Path(__file__).resolve().parent.parent
#: Seconds to end after SIGTERM; a worker needs at most 10 to save, and whoever started it waits for it.
GRACE_SECONDS = 20.0


def main() -> int:
    """Returns 0; nothing of ours runs any more."""
    parser = argparse.ArgumentParser(
        prog="./stop.sh",
        description="Stops the workers, then the embedded server, of the state directory and of the demo. A migration "
        "goes on where it was at the next start.",
        epilog="Exit status: 0 nothing is running any more.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--state-dir", type=Path, metavar="DIR", default=environment_with_files(PROJECT).get("STATE_DIR") or PROJECT,
        help="state directory of the migration [default: this folder; environment: STATE_DIR]",
    )  # fmt: skip
    given = parser.parse_args()
    state_dirs = [Path(given.state_dir), PROJECT / "demo" / "state"]
    stopped = 0
    for state_dir in state_dirs:
        # The launcher first: it ends its workers itself, also one that it has only just started.
        starter = launcher(state_dir)
        stopped += stop([starter] if starter else [])
        stopped += stop(workers(state_dir))
    for state_dir in state_dirs:
        found = server(state_dir / "bookshelf")
        stopped += stop([found[0]] if found else [])
    if not stopped:
        sys.stdout.write("Nothing was running.\n")
    return 0


def stop(recorded: list[Recorded]) -> int:
    """Ends these processes where they still run; returns how many did."""
    running = [(record, process) for record in recorded if (process := record.running()) is not None]
    for _record, process in running:
        _quietly(process.terminate)
    _gone, alive = psutil.wait_procs([process for _record, process in running], timeout=GRACE_SECONDS)
    for record, process in running:
        if process in alive and record.running() is not None:
            _quietly(process.kill)
            sys.stdout.write(f"{record.what} (pid {record.pid}) did not end and was killed\n")
        else:
            sys.stdout.write(f"{record.what} (pid {record.pid}) stopped\n")
    psutil.wait_procs(alive, timeout=GRACE_SECONDS)
    return len(running)


def _quietly(act: Callable[[], None]) -> None:
    with contextlib.suppress(psutil.NoSuchProcess):
        act()


if __name__ == "__main__":
    sys.exit(main())
