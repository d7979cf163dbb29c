"""A Dask cluster: what more machines bring, and what is lost when machines, network and scheduler fail.

    python -m benchmarks.cluster rates [--files 200] [--rounds 3]
    python -m benchmarks.cluster faults        (root only: network namespaces)

`rates`: the same work on 1, 2 and 4 Dask workers with 2 calls in flight each, against an embedded server that takes
200 ms for each metadata task and runs 8 at a time; files per second from the first to the last that arrived, median of
the rounds. Goals: at least 1.9 times and 3.6 times the rate of one.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from migration import logs
from tests.clusterkit import DaskCluster
from tests.conftest import PASSWORD, PROJECT, clean_environment, end, start_shelf
from tests.librarykit import Library, epubs

TASK_MS, SLOTS = 200, 8
GOALS = {2: 1.9, 4: 3.6}


def rate(machines: int, files: int) -> float:
    """Files per second that so many Dask workers bring to the server."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        library = Library(folder / "library")
        library.add(*epubs(range(files), padding=20_000))
        cluster = DaskCluster(folder / "dask")
        shelf = start_shelf(folder / "shelf", "--task-ms", str(TASK_MS), "--task-slots", str(SLOTS))
        try:
            cluster.start_scheduler()
            for _number in range(machines):
                cluster.start_machine()
            wait_for(cluster, machines)
            command = [
                sys.executable, str(PROJECT / "bulk_migrate_calibre.py"), str(library.root), "--server", shelf.url,
                "--state-dir", str(folder / "state"), "--cluster", cluster.address,
            ]  # fmt: skip
            subprocess.run(
                command, env=clean_environment(MBS2_PASSWORD=PASSWORD), check=True, stderr=subprocess.DEVNULL
            )
        finally:
            cluster.close()
            end(shelf.process)
        return settled_rate(folder / "state")


def settled_rate(state_dir: Path) -> float:
    """Files per second, from the log: without the start, and without the end when there is less and less to do."""
    lines = logs.log_path(state_dir, 1).read_text("utf-8").splitlines()
    times = [line.at for text in lines if (line := logs.parse(text)) and line.message.startswith("Uploaded ")]
    middle = times[len(times) // 10 : len(times) * 9 // 10]
    return (len(middle) - 1) / (middle[-1] - middle[0]).total_seconds()


def wait_for(cluster: DaskCluster, machines: int) -> None:
    """Until so many have joined."""
    deadline = time.monotonic() + 60
    while cluster.said("scheduler").count("Register worker") < machines:
        if time.monotonic() > deadline:
            raise TimeoutError(cluster.said("scheduler"))
        time.sleep(0.1)


def rates(files: int, rounds: int) -> int:
    """Prints the table; 1 when a goal is missed."""
    found: dict[int, list[float]] = {1: [], 2: [], 4: []}
    for number in range(rounds):
        for machines, measured in found.items():
            measured.append(rate(machines, files * machines))
            print(f"round {number + 1}, {machines} workers: {measured[-1]:.2f} files/s", flush=True)
    missed = 0
    ceiling = 1000 / TASK_MS
    for machines, measured in found.items():
        median = statistics.median(measured)
        ratio = median / statistics.median(found[1])
        of_slots = median / (ceiling * 2 * machines)
        goal = GOALS.get(machines, 1.0)
        missed += ratio < goal
        print(
            f"{machines} workers: {median:.2f} files/s, {ratio:.2f} x one (goal: {goal}), "
            f"{of_slots:.0%} of what {2 * machines} calls in flight allow"
        )
    return int(missed > 0)


def main() -> int:
    """Runs what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=["rates", "faults"])
    parser.add_argument("--files", type=int, default=200, help="files for each worker [default: 200]")
    parser.add_argument("--rounds", type=int, default=3, help="[default: 3]")
    given = parser.parse_args()
    return rates(given.files, given.rounds)


if __name__ == "__main__":
    sys.exit(main())
