"""What a worker makes of the network: prints a table of figures and goals; 1 when a
goal is missed.

    python -m benchmarks.speed.throughput [--quick]

Slots: a server with two task slots of 200 ms each; the ceiling is 10 files a second.
CPU of a further small file: runs of N and 2 N files, the difference over N. Large
files: the CPU of one worker for large files less that for as many tiny ones, over the
CPU of one SHA-1 plus one raw send of the same bytes by this process beside it."""

import argparse
import hashlib
import os
import resource
import socket
import statistics
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.large.scale import Worker
from benchmarks.speed import client_cpu
from benchmarks.table import Table
from tests.support.environment import end
from tests.support.libraries.librarykit import Library, Made, epubs
from tests.support.servers.shelf import start_shelf

TASK_MS, SLOTS = 200, 2
MEGABYTE = 1024 * 1024


def slots(folder: Path, files: int) -> float:
    """Files a second in the middle of a run against two slots of 200 ms."""
    library = Library(folder / "library")
    library.add(*epubs(range(files), padding=20_000))
    shelf = start_shelf(
        folder / "shelf", "--task-ms", str(TASK_MS), "--task-slots", str(SLOTS)
    )
    worker = Worker(library.root, shelf, folder / "state", "--parallel-uploads", "3")
    try:
        worker.watch(lambda: False, 300)
        at = worker.times(" Uploaded ")
        assert len(at) == files
        # The first and the last few find slots empty: start and end of a pass, not its
        # rate.
        middle = at[5:-3]
        return (len(middle) - 1) / (middle[-1] - middle[0])
    finally:
        worker.end()
        end(shelf.process)


def cpu_of(work: Callable[[], object]) -> float:
    """CPU seconds of this process and its ended children for a piece of work."""
    before = _cpu()
    work()
    return _cpu() - before


def _cpu() -> float:
    used = [
        resource.getrusage(who)
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    ]
    return sum(usage.ru_utime + usage.ru_stime for usage in used)


def hash_file(path: Path) -> None:
    """One SHA-1, in blocks of 1 MB."""
    sha1 = hashlib.sha1(usedforsecurity=False)
    with path.open("rb") as file:
        while block := file.read(MEGABYTE):
            sha1.update(block)


def send_raw(path: Path) -> float:
    """CPU seconds of the sending thread for one file through a socket on loopback, read
    in blocks of 1 MB."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        drain = threading.Thread(target=_drain, args=(server,), daemon=True)
        drain.start()
        began = time.thread_time()
        with (
            socket.create_connection(server.getsockname()) as connection,
            path.open("rb") as file,
        ):
            while block := file.read(MEGABYTE):
                connection.sendall(block)
        spent = time.thread_time() - began
        drain.join(30)
    return spent


def _drain(server: socket.socket) -> None:
    connection, _address = server.accept()
    buffer = bytearray(MEGABYTE)
    with connection:
        while connection.recv_into(buffer):
            pass


def large_files(folder: Path, files: int, megabytes: int) -> tuple[float, float]:
    """CPU seconds of a worker for one large file, and of SHA-1 plus a raw send of the
    same bytes."""
    spent = {}
    for name, size in (("large", megabytes * MEGABYTE), ("tiny", 1000)):
        library = Library(folder / name)
        for _ in range(files):
            library.add(Made(files={"TXT": os.urandom(size)}))
        shelf = start_shelf(folder / f"shelf-{name}")
        try:
            spent[name], _wall = client_cpu.run(
                library.root, shelf, folder / f"state-{name}"
            )
        finally:
            end(shelf.process)
    path = next((folder / "large").rglob("file.txt"))
    floor = [cpu_of(lambda: hash_file(path)) + send_raw(path) for _ in range(3)]
    return (spent["large"] - spent["tiny"]) / files, statistics.median(floor)


def main() -> int:
    """Prints the table; 1 when a goal is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--quick", action="store_true", help="fewer files")
    quick = parser.parse_args().quick
    table = Table("The network")
    with tempfile.TemporaryDirectory(prefix="throughput-") as name:
        folder = Path(name)
        rate = slots(folder / "slots", 100 if quick else 400)
        ceiling = SLOTS * 1000 / TASK_MS
        table.add(
            f"files/s at {SLOTS} slots of {TASK_MS} ms",
            f"{rate:.2f}, {rate / ceiling:.1%} of {ceiling:g}",
            "95 %",
            rate >= 0.95 * ceiling,
        )
        files = 300 if quick else 1000
        few, _wall = client_cpu.measure(files, folder / "few")
        many, _wall = client_cpu.measure(2 * files, folder / "many")
        cost = (many - few) / files * 1000
        table.add(
            "client CPU of a further file of 20 KB", f"{cost:.2f} ms", "5 ms", cost <= 5
        )
        ours, floor = large_files(
            folder / "large", 2 if quick else 4, 100 if quick else 300
        )
        table.add(
            "client CPU of a large file",
            f"{ours:.3f} s = {ours / floor:.2f} x SHA-1 and a raw send",
            "1.5 x",
            ours <= 1.5 * floor,
        )
    return table.show()


if __name__ == "__main__":
    sys.exit(main())
