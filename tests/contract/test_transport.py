"""What every transport does for a file: in this process, on a Dask cluster with the
library mounted, and by shipping."""

import logging
import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from common.clock import SteadyClock
from common.settings.worker import Waits
from migration.calibre.library import CalibreLibrary
from migration.cluster.coordinator import DaskTransport
from migration.cluster.messages import ClusterPlan
from migration.errors import FileChanged, MissingFile, Unsupported
from migration.lanes.api.transfer import LocalTransport, TransferObserver, Transport
from migration.ledger.ledger import Ledger
from migration.ledger.records import Asked, BookState, Intention, Stage
from migration.metadata import ebook_metadata
from migration.model import BookFile, Digest, EbookMetadata, RemoteMatch, UploadId
from migration.server.client import BookshelfClient
from migration.server.http.transport import HttpTransport
from migration.server.session import Session
from migration.state_files.owner import this_process
from tests.support.libraries.librarykit import Library, Made, epub
from tests.support.servers.shelfkit import Server, digest, title

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("dask")]


@dataclass(slots=True)
class Scene:
    """A transport with a library, a server, and what it told."""

    transport: Transport
    made: Library
    library: CalibreLibrary
    client: BookshelfClient
    ledger: Ledger
    stages: list[Stage] = field(default_factory=list)
    moved: int = 0

    def watch(self) -> TransferObserver:
        """Remembers everything."""
        return TransferObserver(self.stages.append, self._move, lambda: None)

    def _move(self, count: int) -> None:
        self.moved += count

    def add(self, data: bytes, kind: str = "EPUB") -> tuple[BookFile, EbookMetadata]:
        """A new book of one file."""
        self.stages, self.moved = [], 0
        [number] = self.made.add(Made(title=title(), files={kind: data}))
        [book] = self.library.read_books(number, number)
        vocabulary = self.client.vocabulary()
        return book.files[0], ebook_metadata.make_metadata(
            book, vocabulary, default_language="en", library_uuid=self.library.uuid
        )


@pytest.fixture(scope="module", params=["local", "dask", "dask, shipping"])
def scene(
    request: pytest.FixtureRequest,
    server: Server,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Scene]:
    """One for all tests of a kind of transport."""
    folder: Path = tmp_path_factory.mktemp("transport")
    made = Library(folder / "library")
    library = CalibreLibrary(made.root, folder)
    http, ws_urls = HttpTransport(server.url), (server.ws_url,)
    session = Session(http, server.username, server.password, ws_urls)
    client = BookshelfClient(session)
    client.session.login()
    plan = ClusterPlan(
        "local:1",
        made.root,
        (server.ws_url,),
        ship="shipping" in request.param,
        waits=Waits(),
    )
    log = logging.getLogger("transport")
    transport: Transport = (
        LocalTransport(library, client, 3)
        if request.param == "local"
        else DaskTransport(plan, library, client, log)
    )
    transport.open()
    ledger = Ledger(folder, this_process(1), SteadyClock())
    yield Scene(transport, made, library, client, ledger)
    ledger.close()
    transport.close()
    client.session.close()
    library.close()


def test_a_file_is_identified_and_carried(
    scene: Scene, number: Callable[[], int]
) -> None:
    """The server's own account of the upload names the same bytes; stages in order,
    every byte told of."""
    data = epub(number(), padding=100_000)
    file, metadata = scene.add(data)
    found = scene.transport.identify(file, scene.watch())
    assert found == Digest(digest(data), len(data))
    upload = scene.transport.carry(file, found, metadata, scene.watch())
    assert not isinstance(upload, RemoteMatch)
    assert scene.client.extracted(upload).digest == found
    assert scene.stages == [Stage.HASH, Stage.UPLOAD, Stage.METADATA]
    assert scene.moved == len(data)
    assert scene.transport.trouble() == ""
    assert scene.transport.hands() >= 3


def test_bytes_the_server_has_are_seen_not_carried(
    scene: Scene, number: Callable[[], int]
) -> None:
    """The match is the server's word to this process."""
    file, metadata = scene.add(epub(number()))
    found = scene.transport.identify(file, scene.watch())
    upload = scene.transport.carry(file, found, metadata, scene.watch())
    assert not isinstance(upload, RemoteMatch)
    book, now = file.id.book_id, datetime.now(tz=UTC)
    asked = Intention(Asked.CREATE, now)
    ebook = scene.client.create(
        scene.ledger.books.intend(book, BookState("w"), asked), metadata, {}, bare=False
    )
    scene.ledger.books.save(book, BookState("w", ebook))
    asked = Intention(Asked.ATTACH, now, UploadId(upload), file.id.format, found)
    scene.client.attach(
        scene.ledger.books.intend(book, BookState("w", ebook), asked), ebook
    )
    again = scene.transport.carry(file, found, metadata, scene.watch())
    assert again == RemoteMatch(found)


def test_it_may_be_repeated(scene: Scene, number: Callable[[], int]) -> None:
    """Two uploads, each its own; neither is attached."""
    file, metadata = scene.add(epub(number()))
    found = scene.transport.identify(file, scene.watch())
    assert scene.transport.carry(
        file, found, metadata, scene.watch()
    ) != scene.transport.carry(file, found, metadata, scene.watch())


@pytest.mark.parametrize("longer", [0, 5, -5])
def test_a_file_that_changes_is_not_taken_for_what_it_was(
    scene: Scene, number: Callable[[], int], longer: int
) -> None:
    """Same length, longer or shorter."""
    data = epub(number())
    file, metadata = scene.add(data)
    found = scene.transport.identify(file, scene.watch())
    path = scene.made.file(file.id.book_id)
    path.write_bytes((data[:-10] + b"0123456789" + b"x" * 5)[: len(data) + longer])
    if longer > 0:
        # What was announced is sent, and it is not what was identified: the first bytes
        # differ too.
        path.write_bytes(b"y" + path.read_bytes()[1:])
    with pytest.raises(FileChanged):
        scene.transport.carry(file, found, metadata, scene.watch())


def test_a_file_that_is_gone_is_missing(
    scene: Scene, number: Callable[[], int]
) -> None:
    """Nobody else has it either."""
    file, _metadata = scene.add(epub(number()))
    scene.made.file(file.id.book_id).unlink()
    with pytest.raises(MissingFile):
        scene.transport.identify(file, scene.watch())


def test_what_the_server_refuses_is_refused(
    scene: Scene, number: Callable[[], int]
) -> None:
    """With its words."""
    file, metadata = scene.add(epub(number()), "CBZ")
    found = scene.transport.identify(file, scene.watch())
    with pytest.raises(Unsupported):
        scene.transport.carry(file, found, metadata, scene.watch())


@pytest.fixture(scope="module")
def number() -> Callable[[], int]:
    """Makes bytes that no test has had, nor an earlier run on the same server."""
    return lambda: random.getrandbits(60)
