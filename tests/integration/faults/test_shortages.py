"""A machine that runs short: the worker says so, and neither a book nor a directory is
blamed."""

import json
import os
import re
import resource
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import requests

from common.resources import Reserve, resource_error
from migration.errors import TooManyOpenFiles
from migration.ledger import totals
from migration.model import Phase
from migration.state_files import progress
from tests.support.environment import PASSWORD, PROJECT, clean_environment, end
from tests.support.libraries.librarykit import Library, epub, epubs
from tests.support.libraries.truth import look, troubles
from tests.support.monitor.watchkit import FIRST, Watch
from tests.support.servers.shelf import Shelf

pytestmark = pytest.mark.integration
BOOKS = 6


@contextmanager
def no_descriptor_left(beside: int = 0) -> Iterator[None]:
    """This process may open nothing more (but `beside` files), until the end of the
    block."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    held: list[int] = []
    try:
        # The highest descriptor in use decides; the gaps below it are filled.
        highest = max(int(link.name) for link in Path("/proc/self/fd").iterdir())
        resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 8, hard))
        with pytest.raises(OSError, match="Too many open files"):
            while True:
                held.append(os.open(os.devnull, os.O_RDONLY))
        for _ in range(beside):
            os.close(held.pop())
        yield
    finally:
        for descriptor in held:
            os.close(descriptor)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_what_sqlite_and_the_resolver_do_not_say_is_found_out(tmp_path: Path) -> None:
    """The real errors of a process that has no descriptor left."""
    database = tmp_path / "a.db"
    with closing(sqlite3.connect(database)) as db:
        db.execute("CREATE TABLE t (x)")
    threading.Thread(target=int).start()
    errors: list[BaseException] = []
    with no_descriptor_left():
        for attempt in (
            lambda: sqlite3.connect(database).execute("SELECT * FROM t"),
            lambda: requests.get("http://127.0.0.1:9/", timeout=1),
            lambda: requests.get("http://no-such-host.invalid/", timeout=1),
        ):
            try:
                attempt()
            except Exception as error:  # noqa: BLE001 - which one is what is asked
                found = resource_error(error)
                errors.append(found or error)
    assert [type(error) for error in errors] == [TooManyOpenFiles] * 3, errors


def test_a_reserve_lets_the_last_words_be_written(tmp_path: Path) -> None:
    """A file can be written after it is given up, and none before."""
    reserve = Reserve(2)
    with no_descriptor_left():
        with pytest.raises(OSError, match="Too many open files"):
            (tmp_path / "last").write_text("words")
        reserve.release()
        (tmp_path / "last").write_text("words")
    reserve.release()
    assert (tmp_path / "last").read_text() == "words"


def test_no_reserve_can_be_had_of_a_process_without() -> None:
    """And none of it is kept."""
    with no_descriptor_left(beside=2):
        with pytest.raises(TooManyOpenFiles):
            Reserve(3)
        os.close(os.open(os.devnull, os.O_RDONLY))


# -- the worker ------------------------------------------------------------------------


class Short:
    """A worker on a library of its own, run short of something."""

    def __init__(self, folder: Path, shelf: Shelf) -> None:
        self.state = folder / "state"
        self.library = Library(folder / "library")
        self.library.add(*epubs(range(BOOKS)))
        self.shelf = shelf
        self.script = PROJECT / "bulk_migrate_calibre.py"

    def run(self, descriptors: int = 1024) -> tuple[int, str]:
        """To its end; returns its exit status and what it said."""
        command = [
            sys.executable,
            str(self.script),
            str(self.library.root),
            "--server",
            self.shelf.url,
            "--state-dir",
            str(self.state),
        ]
        environment = clean_environment(
            MBS2_PASSWORD=PASSWORD,
            RETRY_FIRST_SECONDS="0.05",
            START_SECONDS="5",
            PYTHONPATH=str(PROJECT),
            RECONCILE_AFTER_SECONDS="0.1",
            FAULT_MARKER=str(self.state.with_name("marker")),
        )
        limit = f'ulimit -n {descriptors}; exec "$@"'
        done = subprocess.run(
            ["bash", "-c", limit, "sh", *command],
            env=environment,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr

    def patched(self, function: str, fault: str) -> None:
        """The script is a copy in which a function does something bad, once in all."""
        text = (PROJECT / "bulk_migrate_calibre.py").read_text("utf-8")
        pattern = re.compile(
            rf"(    def {function}\(self.*?\n        \"\"\".*?\"\"\"\n)", re.DOTALL
        )
        broken, count = pattern.subn(
            lambda match: match[1] + f"        if _first():\n            {fault}\n",
            text,
        )
        assert count == 1
        self.state.mkdir(exist_ok=True)
        self.script = self.state / "bulk_migrate_calibre.py"
        self.script.write_text(
            broken.replace("class CalibreMigrator:", FIRST + "class CalibreMigrator:"),
            "utf-8",
        )

    def named(self, kind: str, said: str) -> None:
        """In the log, the progress file and nowhere as something else."""
        seen = progress.read(progress.progress_path(self.state, 1))
        assert seen is not None
        assert seen.last_error is not None
        assert (seen.status, seen.last_error.error_class) == (Phase.FAILED, kind)
        assert seen.last_error.message in said
        log = (self.state / "migration_worker1.log").read_text("utf-8")
        assert f"CRITICAL - {seen.last_error.message}" in log
        assert not re.search(
            "cannot write|damaged|set aside|cannot be read|unreadable", said + log
        )
        assert not list(self.state.glob("migration_ledger.2*"))

    def nobody_was_blamed(self) -> None:
        """No file failed; the next run, with enough of everything, carries all of
        them."""
        found = (
            totals.read(self.state / "migration_ledger.db")
            if (self.state / "migration_ledger.db").exists()
            else None
        )
        assert found is None or found.counts.failed == 0
        code, said = self.run()
        assert code == 0, said
        assert (
            troubles(
                look(self.shelf.data_dir),
                [epub(n, title=f"Book {n}") for n in range(BOOKS)],
            )
            == []
        )


@pytest.mark.parametrize("descriptors", [12, 15, 17, 20])
def test_too_few_descriptors(tmp_path: Path, shelf: Shelf, descriptors: int) -> None:
    """At the library, at the ledger, at the first progress file, at the connections."""
    short = Short(tmp_path, shelf)
    code, said = short.run(descriptors)
    assert code == 70, said
    short.named("TooManyOpenFiles", said)
    if descriptors == 20:
        short.nobody_was_blamed()


LEAK = "self.leak = []\n            while True: self.leak.append(open(os.devnull))"
FAULTS = [
    ("upload_file", "raise MemoryError", "OutOfMemory"),
    (
        "upload_file",
        "(lambda again: again(again))(lambda again: again(again))",
        "RecursionTooDeep",
    ),
    (
        "upload_file",
        "self.leak = [open(os.devnull) for _ in range(10 ** 6)]",
        "TooManyOpenFiles",
    ),
    (
        "identify",
        LEAK.replace("while True:", "for _ in range(10 ** 6):"),
        "TooManyOpenFiles",
    ),
]


@pytest.mark.parametrize(
    ("function", "fault", "kind"),
    FAULTS,
    ids=["memory", "recursion", "at once", "held"],
)
def test_a_fault_in_mid_run(
    tmp_path: Path, shelf: Shelf, function: str, fault: str, kind: str
) -> None:
    """The place is in the log, for whoever has to mend it."""
    short = Short(tmp_path, shelf)
    short.patched(function, fault)
    code, said = short.run(64)
    assert code == 70, said
    short.named(kind, said)
    assert re.search(rf"Internal error: \w+: .*in {function}", said)
    short.nobody_was_blamed()


def test_the_monitor_starts_it_again_and_says_why(tmp_path: Path, shelf: Shelf) -> None:
    """In the history and in the evidence: by its name, not as an internal error."""
    watch = Watch(tmp_path, shelf)
    watch.patched("upload_file", "raise MemoryError")
    watch.open_pass()
    try:
        watch.run("--workers", "1")
    finally:
        for process in watch.running:
            end(process)
    (entry,) = watch.history()
    assert (entry["trigger"], entry["applied"], entry["verified"]) == (
        "stopped",
        True,
        True,
    )
    assert "it ended with 70: OutOfMemory: out of memory" in str(entry["root_cause"])
    kept = json.loads(
        (
            watch.state / "auto_monitor" / "evidence" / str(entry["evidence"])
        ).read_bytes()
    )
    assert kept["last_error"].startswith("OutOfMemory: out of memory")
    watch.all_arrived_once()
