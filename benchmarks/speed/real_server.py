"""A server that runs already, MyBookshelf2 above all: ours beside a bare loop and
others; 1 when a goal is missed.

    MBS2_PASSWORD=… python -m benchmarks.speed.real_server --server URL --ws-url URL
                                                     --username U [--files 40] [--rounds
                                                     5] [--peer CMD …]

It fills that server: --files new EPUBs with covers for every way and round, never the
same twice. Turn about:

* one worker, two workers;
* a bare loop: three threads that do for each file the requests without which it does
  not arrive (upload, metadata, uploads-meta, POST ebooks, add-upload, GET, PATCH), one
  after the other, and keep no account of anything: the ceiling;
* each --peer CMD, run through the shell for a folder of files of its own, with the
  variables URL, WS_URL, USERNAME, PASSWORD and FOLDER.

With --outages it measures no rate, but breaks the server's parts under the migration:
see `benchmarks/faults/real_outages.py`.

    MBS2_PASSWORD=… python -m benchmarks.speed.real_server --outages --server URL --ws-url URL
        --username U --db-uri URI --part database=START::STOP --part 'task
        engine=START::STOP' --part app=START::STOP [--restart CMD …]

A rate is that of the files between the sixth and the sixth last where the ends of files
are known (ours, bare loop), so that start and end do not count against either; the one
over the whole run is shown beside it."""

import argparse
import json
import os
import queue
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from functools import partial
from pathlib import Path

import requests
import websocket

from benchmarks.faults import real_outages
from benchmarks.speed.peers import cover
from benchmarks.table import Table
from migration.state_files import logs
from tests.support.environment import PROJECT, clean_environment
from tests.support.libraries.librarykit import Library, Made, epub

#: Files at either end that say more of start and end than of the rate.
MARGIN = 6
THREADS = 3
DEADLINE_SECONDS = 1200
REQUEST_SECONDS = 120
OF_BARE, OF_PEER = 0.9, 2.5


def rate(ends: Sequence[float]) -> float:
    """Files a second in the middle, from the times at which files ended."""
    at = sorted(ends)
    return (len(at) - 2 * MARGIN) / (at[-MARGIN - 1] - at[MARGIN - 1])


class Trial:
    """One server and one login; every way returns the rate in the middle and over the
    whole, in files a second."""

    def __init__(self, given: argparse.Namespace) -> None:
        self.given = given
        self.number = int(time.time()) % 1_000_000 * 1000
        self.picture = cover()
        #: Numbers are drawn by several threads.
        self.lock = threading.Lock()

    def books(self) -> list[Made]:
        """New books, ten of every writer."""
        made = []
        for _ in range(self.given.files):
            self.number += 1
            number, writer = self.number, self.number // 10
            data = epub(
                number,
                title=f"Book {number}",
                author=f"Writer {writer}",
                cover=self.picture,
            )
            authors = ((f"Writer {writer}", f"{writer}, Writer"),)
            made.append(
                Made(title=f"Book {number}", authors=authors, files={"EPUB": data})
            )
        return made

    def workers(self, folder: Path, workers: int) -> tuple[float, float]:
        """Ours, as many processes."""
        library = Library(folder / "library")
        library.add(*self.books())
        command = [
            sys.executable,
            str(PROJECT / "bulk_migrate_calibre.py"),
            str(library.root),
            "--server",
            self.given.server,
            "--ws-url",
            self.given.ws_url,
            "--username",
            self.given.username,
            "--state-dir",
            str(folder / "state"),
        ]
        began = time.monotonic()
        running = [
            subprocess.Popen(
                [*command, "--worker-id", str(number + 1)],
                stderr=subprocess.DEVNULL,
                env=clean_environment(MBS2_PASSWORD=os.environ["MBS2_PASSWORD"]),
            )
            for number in range(workers)
        ]
        assert [worker.wait(DEADLINE_SECONDS) for worker in running] == [0] * workers
        seconds = time.monotonic() - began
        ends = [
            line.at.timestamp()
            for number in range(workers)
            for text in logs.log_path(folder / "state", number + 1)
            .read_text("utf-8")
            .splitlines()
            if (line := logs.parse(text)) is not None
            and line.message.startswith("Uploaded ")
        ]
        assert len(ends) == self.given.files
        return rate(ends), self.given.files / seconds

    def bare(self, _folder: Path) -> tuple[float, float]:
        """The ceiling."""
        todo: queue.Queue[Made] = queue.Queue()
        for book in self.books():
            todo.put(book)
        ends: list[float] = []
        began = time.monotonic()
        threads = [
            threading.Thread(target=self._loop, args=(todo, ends))
            for _ in range(THREADS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(DEADLINE_SECONDS)
        assert len(ends) == self.given.files, "the bare loop met an error"
        return rate(ends), self.given.files / (time.monotonic() - began)

    def _loop(self, todo: "queue.Queue[Made]", ends: list[float]) -> None:
        server, http = self.given.server, requests.Session()
        login = {
            "username": self.given.username,
            "password": os.environ["MBS2_PASSWORD"],
        }
        token = http.post(
            f"{server}/login", json=login, timeout=REQUEST_SECONDS
        ).json()["access_token"]
        http.headers["Authorization"] = f"bearer {token}"
        with closing(
            websocket.create_connection(
                f"{self.given.ws_url}?token={token}", timeout=REQUEST_SECONDS
            )
        ) as tasks:
            while True:
                try:
                    book = todo.get_nowait()
                except queue.Empty:
                    return
                self.one(http, tasks, book)
                ends.append(time.monotonic())

    def one(
        self, http: requests.Session, tasks: websocket.WebSocket, book: Made
    ) -> None:
        """One book, from its upload to its true title."""
        api = f"{self.given.server}/api"
        part = {
            "file": (
                f"{book.title.replace(' ', '')}.epub",
                book.files["EPUB"],
                "application/epub+zip",
            )
        }
        file = http.post(f"{api}/upload", files=part, timeout=REQUEST_SECONDS).json()[
            "file"
        ]
        tasks.send(
            json.dumps(
                [
                    1,
                    "metadata",
                    {"args": [file, {"title": book.title, "language": {"code": "en"}}]},
                ]
            )
        )
        while (frame := json.loads(tasks.recv()))[0] != "m" or frame[2][
            "status"
        ] not in ("success", "error"):
            pass
        upload = frame[2]["result"]
        meta = http.get(f"{api}/uploads-meta/{upload}", timeout=REQUEST_SECONDS).json()[
            "meta"
        ]
        body = {
            "title": f"{book.title} ~",
            "language": meta["language"],
            "authors": meta["authors"],
            "genres": [],
        }
        ebook = http.post(f"{api}/ebooks", json=body, timeout=REQUEST_SECONDS).json()[
            "id"
        ]
        http.post(
            f"{api}/ebooks/{ebook}/add-upload",
            json={"upload_id": upload},
            timeout=REQUEST_SECONDS,
        ).raise_for_status()
        version = http.get(f"{api}/ebooks/{ebook}", timeout=REQUEST_SECONDS).json()[
            "version_id"
        ]
        change = {"title": book.title, "version_id": version}
        http.patch(
            f"{api}/ebooks/{ebook}", json=change, timeout=REQUEST_SECONDS
        ).raise_for_status()

    def peer(self, folder: Path, command: str) -> tuple[float, float]:
        """Any other client; its rate in the middle is not known."""
        for number, book in enumerate(self.books()):
            (folder / f"book{number:05}.epub").write_bytes(book.files["EPUB"])
        given = {
            "URL": self.given.server,
            "WS_URL": self.given.ws_url,
            "USERNAME": self.given.username,
            "PASSWORD": os.environ["MBS2_PASSWORD"],
            "FOLDER": str(folder),
        }
        began = time.monotonic()
        subprocess.run(
            command,
            shell=True,
            env={**clean_environment(), **given},
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=DEADLINE_SECONDS,
        )
        whole = self.given.files / (time.monotonic() - began)
        return whole, whole


def main() -> int:
    """Prints the table; 1 when a goal is missed."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--server", required=True, help="base URL of the REST API [no default]"
    )
    parser.add_argument(
        "--ws-url",
        required=True,
        help="URL of the WebSocket, with its path [no default]",
    )
    parser.add_argument(
        "--username",
        required=True,
        help="its password is taken from MBS2_PASSWORD [no default]",
    )
    parser.add_argument(
        "--files",
        type=int,
        default=40,
        help="files for each way and round [default: 40]",
    )
    parser.add_argument("--rounds", type=int, default=5, help="[default: 5]")
    parser.add_argument(
        "--peer",
        action="append",
        default=[],
        metavar="CMD",
        help="a further client [no default]",
    )
    parser.add_argument(
        "--outages",
        action="store_true",
        help="breaks the server's parts [default: off]",
    )
    parser.add_argument(
        "--db-uri",
        default="",
        help="--outages: its database, for a superuser [no default]",
    )
    parser.add_argument(
        "--part",
        action="append",
        default=[],
        metavar="NAME=START::STOP",
        help="--outages: shell commands [no default]",
    )
    parser.add_argument(
        "--restart",
        action="append",
        default=[],
        metavar="CMD",
        help="--outages: restarts something [no default]",
    )
    parser.add_argument(
        "--seconds",
        type=float,
        default=10.0,
        help="--outages: how long a part is away [default: 10]",
    )
    parser.add_argument(
        "--books",
        type=int,
        default=218,
        help="--outages: EPUBs in each migration [default: 218]",
    )
    parser.add_argument(
        "--keep",
        default="",
        metavar="DIR",
        help="--outages: keeps state directories [no default]",
    )
    given = parser.parse_args()
    if given.outages:
        return real_outages.show(given)
    trial = Trial(given)
    ways: dict[str, Callable[[Path], tuple[float, float]]] = {
        "bare loop": trial.bare,
        "1 worker": lambda folder: trial.workers(folder, 1),
        "2 workers": lambda folder: trial.workers(folder, 2),
        **{command: partial(trial.peer, command=command) for command in given.peer},
    }
    rates: dict[str, list[tuple[float, float]]] = {way: [] for way in ways}
    for _ in range(given.rounds):
        for way, run in ways.items():
            with tempfile.TemporaryDirectory(prefix="real-server-") as name:
                rates[way].append(run(Path(name)))
    middle, whole = (
        {way: statistics.median(pair[i] for pair in rates[way]) for way in ways}
        for i in (0, 1)
    )
    table = Table(
        f"{given.files} EPUBs with covers to {given.server}, median of "
        f"{given.rounds}, files a second"
    )
    for way in ways:
        table.add(
            f"`{way}`", f"{middle[way]:.2f} (whole run {whole[way]:.2f})", "-", None
        )
    ours = max(middle["1 worker"], middle["2 workers"])
    share = ours / middle["bare loop"]
    table.add(
        "ours at best / bare loop", f"{share:.0%}", f"{OF_BARE:.0%}", share >= OF_BARE
    )
    if given.peer:
        ratio = ours / max(middle[way] for way in given.peer)
        table.add(
            "ours at best / the best other client",
            f"{ratio:.2f} x",
            f"{OF_PEER:g} x",
            ratio >= OF_PEER,
        )
    return table.show()


if __name__ == "__main__":
    sys.exit(main())
