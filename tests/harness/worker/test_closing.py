"""The last look on a server that fails on one of its requests and answers the others:
it comes to an end."""

import logging
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from migration.calibre.library import CalibreLibrary
from migration.checks.audit import AuditResult
from migration.checks.last_look import LIST_TRIES, LastLook
from migration.errors import ServerFault
from migration.ledger import totals
from migration.ledger.ledger import Ledger
from migration.ledger.records import Asked, Audited, BookState, Intention
from migration.metadata.ebook_metadata import working_title
from migration.model import BookId
from migration.server.client import BookshelfClient
from migration.server.http.transport import HttpTransport
from migration.server.session import Session, task_urls
from migration.state_files.owner import this_process
from tests.support.environment import PASSWORD
from tests.support.libraries.librarykit import Library, epubs
from tests.support.migration.fakes import ToldClock
from tests.support.network.proxy import Answer, Decision, Do, Proxy
from tests.support.servers.shelf import Shelf

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
FAILS = Answer(500, '{"message": "Internal Server Error"}', "application/json")


class Scene:
    """A pass whose one book left an empty ebook, every range closed; `fails` says what
    the server fails on."""

    def __init__(self, folder: Path, shelf: Shelf) -> None:
        library = Library(folder / "library")
        library.add(*epubs([1]))
        self.fails: Callable[[str, str], bool] = lambda _method, _path: False
        self.proxy = Proxy(shelf.url, self._decide)
        self.library = CalibreLibrary(library.root, folder / "copy")
        self.ledger = Ledger(folder, this_process(1), ToldClock(NOW))
        self.ledger.identity.bind(library=self.library.uuid, server=shelf.url, user="1")
        client = BookshelfClient(
            Session(
                HttpTransport(self.proxy.url), "admin", PASSWORD, task_urls(shelf.url)
            )
        )
        self.slept: list[float] = []
        self.look = LastLook(
            client,
            self.ledger,
            self.library,
            logging.getLogger("look"),
            self.slept.append,
            lambda _look: AuditResult(Audited()),
        )
        self.pass_id = self.ledger.passes.join(1, may_open=True) or 0
        self.look.begin(self.pass_id)
        title = working_title("Book 1", self.library.uuid, BookId(1))
        with shelf.session() as session:
            body = {"title": title, "language": {"id": 2}, "authors": [], "genres": []}
            assert session.post(f"{shelf.url}/api/ebooks", json=body, timeout=20).ok
        owned = self.ledger.files.claim_range(self.pass_id, lambda _after: 1)
        assert owned is not None
        self.ledger.books.save(
            BookId(1), BookState(title, intention=Intention(Asked.CREATE, NOW))
        )
        self.ledger.books.forget(BookId(1))
        assert self.ledger.files.close_range(owned)

    def _decide(self, method: str, path: str) -> Decision:
        return FAILS if self.fails(method, path) else Do.PASS

    def take(self) -> tuple[bool, dict[str, int]]:
        """Takes the look: is the pass closed then, and what stands?"""
        look = self.ledger.end.take(self.pass_id)
        assert look is not None
        self.look.take(look)
        found = totals.read(self.ledger.path)
        assert found is not None
        return found.closed_at is not None, dict(found.differences)

    def leave(self) -> None:
        """Closes everything."""
        self.proxy.stop()
        self.ledger.close()
        self.library.close()


@pytest.fixture
def scene(tmp_path: Path, shelf: Shelf) -> Iterator[Scene]:
    """On a server of the test's own."""
    made = Scene(tmp_path, shelf)
    yield made
    made.leave()


def test_a_list_that_fails_is_reported_and_looked_through_by_the_next_pass(
    scene: Scene,
) -> None:
    """The server answers otherwise: nobody waits for ever, and nothing is taken for
    gone."""
    scene.fails = lambda method, path: (method, path) == ("GET", "/api/ebooks")
    assert scene.take() == (True, {"not looked through": 1})
    assert len(scene.slept) == LIST_TRIES - 1


def test_an_ebook_the_server_fails_to_delete_is_reported(scene: Scene) -> None:
    """As MyBookshelf2 does with one that is on a shelf."""
    scene.fails = lambda method, _path: method == "DELETE"
    assert scene.take() == (True, {"empty ebook": 1})


def test_a_server_that_is_away_is_waited_for(scene: Scene) -> None:
    """The look raises, the pass stays open; the next one deletes what is empty, and the
    one after it closes."""
    scene.fails = lambda _method, _path: True
    with pytest.raises(ServerFault):
        scene.take()
    scene.fails = lambda _method, _path: False
    assert scene.take() == (False, {})
    assert scene.take() == (True, {})
