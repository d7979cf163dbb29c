"""`./stop.sh`: asks monitor, workers, dashboard, server to end, in this order; kills only what is provably ours."""

import argparse
import sys
import threading
from pathlib import Path

import argcomplete

from auto_monitor.processes import end
from deploy.processes import Recorded, dashboard, monitor, server, workers
from migration.worker.options import environment_with_files

PROJECT = Path(__file__).resolve().parent.parent
#: Seconds to end after SIGTERM. A worker saves within 10; a monitor may be in the middle of ending one that hangs.
GRACE_SECONDS = 40.0


def main() -> int:
    """Returns 0; nothing of ours runs any more."""
    parser = argparse.ArgumentParser(
        prog="./stop.sh",
        description="Stops the monitor, the workers, the dashboard, then the embedded server, of the state directory "
        "and of the demo. A migration goes on where it was at the next start.",
        epilog="Exit status: 0 nothing is running any more.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "--state-dir", type=Path, metavar="DIR", default=environment_with_files(PROJECT).get("STATE_DIR") or PROJECT,
        help="state directory of the migration [default: this folder; environment: STATE_DIR]",
    )  # fmt: skip
    parser.add_argument(
        "--monitor-only", action="store_true", help="stop the monitor; workers, dashboard and server go on"
    )
    argcomplete.autocomplete(parser)
    given = parser.parse_args()
    state_dirs = [Path(given.state_dir).expanduser().resolve(), PROJECT / "demo" / "state"]
    stopped = 0
    for state_dir in state_dirs:
        # The monitor first: it would start the workers again.
        watching = monitor(state_dir)
        stopped += stop([watching] if watching else [])
        stopped += 0 if given.monitor_only else stop(workers(state_dir))
        shown = None if given.monitor_only else dashboard(state_dir)
        stopped += stop([shown[0]] if shown else [])
    for state_dir in state_dirs if not given.monitor_only else []:
        found = server(state_dir / "bookshelf")
        stopped += stop([found[0]] if found else [])
    if not stopped:
        sys.stdout.write("Nothing was running.\n")
    return 0


def stop(recorded: list[Recorded]) -> int:
    """Ends these processes side by side where they still run; returns how many did."""
    threads = [threading.Thread(target=_stop, args=(one,)) for one in recorded if one.running() is not None]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return len(threads)


def _stop(recorded: Recorded) -> None:
    process = recorded.running()
    killed = process is not None and end(process, GRACE_SECONDS)
    how = "did not end and was killed" if killed else "stopped"
    sys.stdout.write(f"{recorded.what} (pid {recorded.pid}) {how}\n")


if __name__ == "__main__":
    sys.exit(main())
