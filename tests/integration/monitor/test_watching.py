"""`--watch` with real processes: Calibre, worker, server; seconds instead of minutes."""

import json
import os
import shutil
import signal
import sqlite3
import subprocess
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import psutil
import pytest

from migration.ledger import totals
from migration.ledger.totals import Totals
from tests.support.environment import PROJECT, clean_environment, end, needs
from tests.support.libraries import calibre_edits
from tests.support.libraries.calibreside import locked
from tests.support.libraries.librarykit import Library, epub, epubs
from tests.support.libraries.truth import look, troubles
from tests.support.migration.workerkit import wait_for
from tests.support.monitor.watchkit import Watch
from tests.support.servers.shelf import Shelf

pytestmark = pytest.mark.integration

BOOKS = 5
QUICK = {"WATCH_EVERY_SECONDS": "3", "WATCH_QUIET_SECONDS": "0.5"}


class Staying(Watch):
    """A monitor that stays, on a library of a few books."""

    def __init__(self, folder: Path, shelf: Shelf) -> None:
        super().__init__(folder, shelf)
        shutil.rmtree(self.library.root)
        self.library = Library(folder / "library")
        self.library.add(*epubs(range(BOOKS)))
        self.more |= {**QUICK, "LIBRARY_LOCK_SECONDS": "2"}
        self.files = [epub(number, title=f"Book {number}") for number in range(BOOKS)]

    def stay(self) -> "subprocess.Popen[str]":
        """The monitor, in the background."""
        return self.start("--watch", "--workers", "1")

    def status(self) -> dict[str, Any]:
        """`monitor.py --status --json`."""
        return dict(json.loads(self.command("--status", "--json").stdout))

    def newest(self) -> Totals | None:
        """The newest pass."""
        return totals.read(self.state / "migration_ledger.db")

    def settles(self, pass_id: int) -> None:
        """This pass, or a later one, is closed and everything is there, once."""
        wait_for(
            lambda: (
                (found := self.newest()) is not None
                and found.pass_id >= pass_id
                and found.closed_at is not None
                and troubles(look(self.shelf.data_dir), self.files) == []
            ),
            120,
        )

    def says(self, text: str) -> None:
        """It is logged, some time."""
        wait_for(lambda: text in (self.state / "monitor.log").read_text("utf-8"), 60)

    def add(self, number: int) -> None:
        """Somebody adds a book."""
        self.library.add(*epubs([number]))
        self.files.append(epub(number, title=f"Book {number}"))


@pytest.fixture
def staying(tmp_path: Path, shelf: Shelf) -> Iterator[Staying]:
    """Not started yet; whatever still runs is ended."""
    made = Staying(tmp_path, shelf)
    yield made
    for process in made.running:
        end(process)


def test_what_is_added_arrives_and_the_status_says_so(staying: Staying) -> None:
    """The first pass, then one more for each change and none without; SIGTERM ends it."""
    monitor = staying.stay()
    staying.settles(1)
    staying.add(100)
    staying.settles(2)
    staying.says("Looked at the library: no change since pass 2 (1 file new)")
    value = staying.status()
    assert value["monitor"]["alive"] and not value["monitor"]["stale"]
    assert value["watch"]["found"] == "no change since pass 2 (1 file new)"
    assert value["watch"]["text"].startswith("watching; looked ")
    shown = staying.command("--status")
    assert "Library: watching; looked " in shown.stdout
    before = value["watch"]["looked_at"]
    wait_for(lambda: staying.status()["watch"]["looked_at"] > before)
    newest = staying.newest()
    assert newest is not None and newest.pass_id == 2
    monitor.terminate()
    assert monitor.wait(30) == 0
    assert [child for child in psutil.process_iter() if is_ours(child, staying)] == []


def titles(shelf: Shelf) -> set[str]:
    """The titles that the server shows."""
    with closing(sqlite3.connect(shelf.data_dir / "bookshelf.db")) as db:
        return {str(title) for (title,) in db.execute("SELECT title FROM ebook")}


def test_what_is_edited_arrives_and_what_is_removed_stays(staying: Staying) -> None:
    """A title, another one's bytes; a book that leaves Calibre is kept, and listed."""
    staying.stay()
    staying.settles(1)
    calibre_edits.set_title(staying.library, 1, "Edited")
    new = epub(300, title="Book 1")
    calibre_edits.replace_file(staying.library, 2, new)
    staying.files[1] = new
    staying.settles(2)
    wait_for(lambda: "Edited" in titles(staying.shelf))
    staying.says("(1 file new, 1 book changed)")
    calibre_edits.remove_book(staying.library, 3)
    staying.settles(3)
    assert len(titles(staying.shelf)) == BOOKS
    newest = staying.newest()
    assert newest is not None
    assert newest.noticed == {"book no longer in Calibre, still on the server": 1}


def is_ours(process: psutil.Process, staying: Staying) -> bool:
    """Whether it is a worker or a monitor of this state directory."""
    try:
        return str(staying.state) in process.cmdline()
    except psutil.Error:
        return False


def test_a_locked_library_is_waited_for(staying: Staying) -> None:
    """Longer than a worker that opens a pass waits: said, alerted, tried again."""
    staying.stay()
    staying.settles(1)
    staying.add(100)
    with locked(staying.library):
        staying.says("A pass cannot be opened: ")
        wait_for(lambda: "cannot be opened" in staying.status()["watch"]["trouble"])
    staying.settles(2)
    wait_for(lambda: staying.status()["watch"]["trouble"] == "")


def test_a_file_that_is_replaced_is_waited_for_until_it_is_whole(
    staying: Staying, tmp_path: Path
) -> None:
    """As tools do that synchronise: gone, then in part, then renamed into its place."""
    staying.stay()
    staying.settles(1)
    whole = staying.library.root / "metadata.db"
    other = Library(tmp_path / "elsewhere")
    shutil.rmtree(other.root)
    shutil.copytree(staying.library.root, other.root)
    other.add(*epubs([100]))
    staying.files.append(epub(100, title="Book 100"))
    whole.unlink()
    staying.says("The library cannot be read: metadata.db is not there")
    half = (other.root / "metadata.db").read_bytes()
    whole.write_bytes(half[: len(half) // 2])
    staying.says("metadata.db is not whole")
    shutil.copytree(other.root / "Author", whole.parent / "Author", dirs_exist_ok=True)
    (whole.parent / "metadata.db.part").write_bytes(half)
    (whole.parent / "metadata.db.part").replace(whole)
    staying.settles(2)


def test_a_library_that_breaks_in_mid_pass_is_waited_for(
    staying: Staying, tmp_path: Path, shelves: Any
) -> None:
    """A copy over it in place is broken off: the workers end for good, the monitor does
    not, and the pass goes on when the file is whole."""
    staying.shelf = shelves(tmp_path / "slow", "--delay-ms", "100")
    for number in range(100, 140):
        staying.add(number)
    staying.stay()
    staying.worker(1)
    database = staying.library.root / "metadata.db"
    whole = database.read_bytes()
    database.write_bytes(whole[: len(whole) // 2])
    staying.says("Every worker ended with status 4")
    staying.says("metadata.db is not whole")
    (database.parent / "part").write_bytes(whole)
    (database.parent / "part").replace(database)
    staying.settles(1)
    text = (staying.state / "monitor.log").read_text("utf-8")
    assert text.count("Every worker ended with status 4") == 1


def test_across_a_reboot_an_open_pass_goes_on_and_a_closed_one_is_not_repeated(
    staying: Staying, tmp_path: Path, shelves: Any
) -> None:
    """Monitor and workers are killed in mid-pass, and started again; and again when
    everything is done."""
    staying.shelf = shelves(tmp_path / "slow", "--delay-ms", "100")
    monitor = staying.stay()
    worker = staying.worker(1)
    os.kill(monitor.pid, signal.SIGKILL)
    monitor.wait(10)
    worker.kill()
    status = staying.status()
    assert status["monitor"]["stale"] and status["watch"] is not None
    monitor = staying.stay()
    staying.settles(1)
    staying.says("no change since pass 1")
    os.kill(monitor.pid, signal.SIGKILL)
    monitor.wait(10)
    staying.stay()
    before = staying.status()["watch"]["looked_at"] or ""
    wait_for(lambda: (staying.status()["watch"]["looked_at"] or "") > before)
    wait_for(lambda: "no change since pass 1" in staying.status()["watch"]["found"])
    newest = staying.newest()
    assert newest is not None and newest.pass_id == 1


@pytest.mark.xdist_group("calibredb")
def test_calibre_itself_works_beside_it(staying: Staying, tmp_path: Path) -> None:
    """`calibredb` ends with 0 every time; what it adds and edits arrives, what it
    removes stays."""
    needs("calibredb")

    def calibredb(*words: str) -> None:
        done = subprocess.run(
            ["calibredb", *words, "--with-library", str(staying.library.root)],
            env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert done.returncode == 0, done.stderr

    staying.stay()
    staying.settles(1)
    book = tmp_path / "new.epub"
    book.write_bytes(epub(200, title="New", cover=b""))
    calibredb("add", str(book))
    calibredb("set_metadata", "--field", "title:From Calibre", "1")
    calibredb("remove", "--permanent", "2")
    staying.files.append(book.read_bytes())
    staying.settles(2)
    wait_for(lambda: {"New", "From Calibre"} <= titles(staying.shelf))
    assert len(titles(staying.shelf)) == BOOKS + 1


def test_start_sh_starts_and_stop_sh_ends_it(staying: Staying) -> None:
    """In the background, with a pass that is not repeated; and usage that makes no
    sense is refused."""
    environment = clean_environment(
        **staying.more,
        MBS2_PASSWORD=staying.environment()["MBS2_PASSWORD"],
        CALIBRE_LIBRARY=str(staying.library.root),
        MBS2_SERVER=staying.shelf.url,
        STATE_DIR=str(staying.state),
        CHECKOUT_LINKS="0",
    )

    def run(*words: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [PROJECT / ".venv/bin/python", "-m", *words],
            cwd=PROJECT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    for wrong in ("--demo", "--dry-run", "--no-monitor"):
        done = run("deploy.launch", "--watch", wrong)
        assert done.returncode == 2
        assert "--watch is the monitor's, on a library of yours" in done.stderr
    done = run("deploy.launch", "--watch", "--delete-removed")
    assert done.returncode == 2
    assert "--delete-removed does not go with --watch" in done.stderr
    done = run("deploy.launch", "--watch", "--every", "2s", "--no-dashboard")
    assert done.returncode == 0, done.stderr
    assert "It stays, and migrates what changes in the library." in done.stdout
    try:
        staying.settles(1)
        staying.says("no change since pass 1 (5 files new)")
        staying.add(100)
        staying.settles(2)
    finally:
        done = run("deploy.stop")
    assert "monitor (pid " in done.stdout
    assert staying.status()["monitor"]["ended"] == "stopped"
