"""An audit that has to wait: for the server, for Calibre; and what nobody can say."""

import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from migration.audit import run
from migration.audit.findings import Finding
from migration.audit.messages import Checked, Message, Waiting
from tests.support.libraries.librarykit import Library, epubs
from tests.support.migration.auditkit import not_audited_yet, order_for, words
from tests.support.network.proxy import Answer, Decision, Do
from tests.support.servers.inprocess import LocalWorkers
from tests.support.servers.shelf import Shelf

FAST = {"RETRY_FIRST_SECONDS": "0.05", "PROBE_SECONDS": "0.2"}


@pytest.fixture
def library(tmp_path: Path, shelf: Shelf, workers: LocalWorkers) -> Library:
    """Three books that are on the server, and not audited."""
    made = Library(tmp_path / "library")
    made.add(*epubs(range(3)))
    assert workers.run(made.root, shelf, **FAST)[0] == 0
    not_audited_yet(workers.state_dir)
    return made


def test_a_server_that_is_away_is_waited_for(
    library: Library, shelf: Shelf, workers: LocalWorkers, proxies: Callable[..., Shelf]
) -> None:
    """An outage is told when it begins and when it ends, and is no difference."""
    told: list[Message] = []
    away: list[str] = []

    def decide(_method: str, path: str) -> Decision:
        begun = any(isinstance(one, Checked) for one in told)
        over = any(isinstance(one, Waiting) for one in told)
        if begun and not over:
            away.append(path)
            return Answer(503)
        return Do.PASS

    behind = proxies(shelf, decide)
    run.audit(order_for(library, behind, workers.state_dir), told.append)
    assert away
    outage = [one.why for one in told if isinstance(one, Waiting)]
    assert outage == [f"{behind.url} does not answer", ""]
    assert [one for one in told if isinstance(one, Finding)] == []
    assert sum(isinstance(one, Checked) for one in told) == 3


def test_what_the_server_leaves_open_is_said(
    library: Library, shelf: Shelf, workers: LocalWorkers, proxies: Callable[..., Shelf]
) -> None:
    """It answers everything but the question about one ebook."""
    told: list[Message] = []
    behind = proxies(
        shelf,
        lambda _method, path: Answer(500) if path == "/api/ebooks/2" else Do.PASS,
    )
    run.audit(order_for(library, behind, workers.state_dir), told.append)
    found = [one for one in told if isinstance(one, Finding)]
    assert [kind for _book, kind in words(found)] == ["not read back"]


def test_a_library_that_calibre_has_locked_is_waited_for(
    library: Library, shelf: Shelf, workers: LocalWorkers
) -> None:
    """Until it is free again."""
    told: list[Message] = []
    free = threading.Event()
    with closing(
        sqlite3.connect(library.root / "metadata.db", check_same_thread=False)
    ) as calibre:
        calibre.execute("BEGIN EXCLUSIVE")

        def tell(message: Message) -> None:
            told.append(message)
            if isinstance(message, Waiting) and not free.is_set():
                free.set()
                calibre.rollback()

        run.audit(order_for(library, shelf, workers.state_dir), tell)
    assert free.is_set()
    assert [one for one in told if isinstance(one, Finding)] == []
    assert sum(isinstance(one, Checked) for one in told) == 3
