"""The same EPUBs with covers, side by side in one run: a table of medians and ratios; 1
when the goal is missed.

    python -m benchmarks.speed.peers [--quick] [--files 500] [--rounds 5] [--peer CMD]

Turn about, each onto something empty: (a) two workers to an embedded server, which
takes many books in one request or, with `--lane api`, one after the other, (b)
`calibredb add` into a fresh library, (c) a script that calls curl for each request of
each file, as a user would write it, to an embedded server, (d) any client command given
with --peer, run through the shell with the variables URL, WS_URL, USERNAME, PASSWORD
and FOLDER (all files are there). Seconds are from the start of the commands to the end
of the last, start-up included, without reading back (--audit off): nobody else does.
Nothing is acknowledged by the embedded server before its bytes and its row are on the
disk (fsync or syncfs; synchronous = FULL)."""

import argparse
import io
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from PIL import Image

from benchmarks.table import Table
from tests.support.environment import PASSWORD, PROJECT, clean_environment, end
from tests.support.libraries.librarykit import Library, Made, epub
from tests.support.servers.shelf import Shelf, start_shelf

WORKERS = 2
GOAL, AIM = 3.0, 5.0
DEADLINE_SECONDS = 300
#: The requests of one file, one process each: check, upload, metadata (no curl speaks
#: WebSocket: a small helper that is started once does), uploads-meta, create, attach.
CURL = PROJECT / "benchmarks" / "speed" / "curl_client.sh"


def cover() -> bytes:
    """A JPEG of 400 x 600 pixels, about 20 KB, as books have."""
    picture = Image.linear_gradient("L").resize((400, 600)).convert("RGB")
    buffer = io.BytesIO()
    Image.blend(picture, Image.effect_noise((400, 600), 40).convert("RGB"), 0.3).save(
        buffer, "JPEG", quality=75
    )
    return buffer.getvalue()


def books(files: int) -> list[Made]:
    """Books of one EPUB with a cover each, ten of every writer."""
    picture = cover()
    return [
        Made(
            title=f"Book {number}",
            authors=((f"Writer {number // 10}", f"{number // 10}, Writer"),),
            files={
                "EPUB": epub(
                    number,
                    title=f"Book {number}",
                    author=f"Writer {number // 10}",
                    cover=picture,
                )
            },
        )
        for number in range(files)
    ]


class Peers:
    """The files, and each way of getting them somewhere."""

    def __init__(self, folder: Path, files: int, peer: str) -> None:
        self.folder, self.files, self.peer, self.round = folder, files, peer, 0
        self.library = Library(folder / "library")
        self.loose = folder / "loose"
        self.loose.mkdir()
        made = books(files)
        self.library.add(*made)
        for number, book in enumerate(made):
            (self.loose / f"book{number:05}.epub").write_bytes(book.files["EPUB"])

    def workers(self) -> float:
        """(a) Seconds for two workers, which send many books in one request."""
        return self._served(lambda shelf: self._run_workers(shelf, "auto"))

    def one_by_one(self) -> float:
        """(a) Seconds for two workers that send one book after the other."""
        return self._served(lambda shelf: self._run_workers(shelf, "api"))

    def calibredb(self) -> float:
        """(b) Seconds for `calibredb add`; the fresh library is made before."""
        target = self._fresh("calibre")
        environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
        command = ["calibredb", "--with-library", str(target)]
        subprocess.run(
            [*command, "list"], env=environment, check=True, stdout=subprocess.DEVNULL
        )
        started = time.monotonic()
        subprocess.run(
            [*command, "add", "-r", str(self.loose)],
            env=environment,
            check=True,
            stdout=subprocess.DEVNULL,
            timeout=DEADLINE_SECONDS,
        )
        seconds = time.monotonic() - started
        assert sum(1 for _ in target.rglob("*.epub")) == self.files
        shutil.rmtree(target)
        return seconds

    def curl(self) -> float:
        """(c) Seconds for the curl script."""
        return self._served(
            lambda shelf: self._shell(f"{CURL} {sys.executable}", shelf)
        )

    def other(self) -> float:
        """(d) Seconds for the command of --peer."""
        return self._served(lambda shelf: self._shell(self.peer, shelf))

    def _run_workers(self, shelf: Shelf, lane: str) -> None:
        state = self._fresh("state")
        command = [
            sys.executable,
            str(PROJECT / "bulk_migrate_calibre.py"),
            str(self.library.root),
            "--server",
            shelf.url,
            "--state-dir",
            str(state),
            "--lane",
            lane,
        ]
        running = [
            subprocess.Popen(
                [*command, "--worker-id", str(number + 1)],
                env=clean_environment(MBS2_PASSWORD=PASSWORD),
                stderr=subprocess.DEVNULL,
            )
            for number in range(WORKERS)
        ]
        assert [worker.wait(DEADLINE_SECONDS) for worker in running] == [0] * WORKERS

    def _shell(self, command: str, shelf: Shelf) -> None:
        given = {
            "URL": shelf.url,
            "WS_URL": shelf.ws_url,
            "USERNAME": shelf.username,
            "PASSWORD": shelf.password,
        }
        subprocess.run(
            command,
            shell=True,
            env={**clean_environment(), **given, "FOLDER": str(self.loose)},
            check=True,
            stdout=subprocess.DEVNULL,
            timeout=DEADLINE_SECONDS,
        )

    def _served(self, work: Callable[[Shelf], None]) -> float:
        """Runs it against an empty server; whoever did not bring every file has not won
        anything."""
        data = self._fresh("shelf")
        shelf = start_shelf(data)
        try:
            started = time.monotonic()
            work(shelf)
            seconds = time.monotonic() - started
            found = (
                shelf.session()
                .get(f"{shelf.url}/api/ebooks?page_size=1", timeout=20)
                .json()["total"]
            )
            assert found == self.files, f"{found} of {self.files} files arrived"
        finally:
            end(shelf.process)
        shutil.rmtree(data)
        return seconds

    def _fresh(self, what: str) -> Path:
        self.round += 1
        return self.folder / f"{what}{self.round}"


def main() -> int:
    """Prints the table; 1 when the goal is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--files", type=int, default=500, help="[default: 500; with --quick 100]"
    )
    parser.add_argument(
        "--rounds", type=int, default=5, help="[default: 5; with --quick 3]"
    )
    parser.add_argument("--quick", action="store_true", help="100 files, 3 rounds")
    parser.add_argument(
        "--peer",
        default="",
        metavar="CMD",
        help="a further client, see above [no default]",
    )
    parser.add_argument(
        "--json", action="store_true", help="also every single time, as JSON"
    )
    given = parser.parse_args()
    files, rounds = (100, 3) if given.quick else (given.files, given.rounds)
    table = Table(f"{files} EPUBs with covers, median of {rounds}")
    with tempfile.TemporaryDirectory(prefix="peers-") as name:
        peers = Peers(Path(name), files, given.peer)
        ways: dict[str, Callable[[], float]] = {
            f"{WORKERS} workers, embedded server": peers.workers,
            "the same, --lane api": peers.one_by_one,
            "calibredb add": peers.calibredb,
            "curl for each request": peers.curl,
            **({given.peer: peers.other} if given.peer else {}),
        }
        times: dict[str, list[float]] = {way: [] for way in ways}
        for _ in range(rounds):
            for way, run in ways.items():
                times[way].append(run())
    ours = statistics.median(next(iter(times.values())))
    for way, seconds in times.items():
        median = statistics.median(seconds)
        spread = (
            f"{median:.2f} s [{min(seconds):.2f}-{max(seconds):.2f}], "
            f"{files / median:.1f} files/s"
        )
        is_goal = way == "calibredb add"
        ratio = f"ours is {median / ours:.2f} x as fast" if median != ours else ""
        table.add(
            f"`{way}`",
            f"{spread} {ratio}".strip(),
            f"{GOAL:g} x, aimed at {AIM:g} x" if is_goal else "-",
            median >= GOAL * ours if is_goal else None,
        )
    if given.json:
        print(json.dumps(times))
    return table.show()


if __name__ == "__main__":
    sys.exit(main())
