"""A machine that runs short: the worker says so, and neither a book nor a directory is blamed."""

import os
import resource
import sqlite3
import threading
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import requests

from migration.errors import TooManyOpenFiles
from migration.resources import Reserve, resource_error


@contextmanager
def no_descriptor_left(beside: int = 0) -> Iterator[None]:
    """This process may open nothing more (but `beside` files), until the end of the block."""
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
