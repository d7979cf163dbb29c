"""What is no answer, through real connections: bounded in size, time and depth, named,
and never taken for a yes."""

import contextlib
import gzip
import pickle
import re
import socketserver
import threading
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from common.clock import SteadyClock
from common.json_value import Json
from migration.cluster.messages import Endpoints
from migration.cluster.remote import _deaf
from migration.errors import (
    Deferred,
    LoginRefused,
    RefusedByServer,
    ResponseLost,
    ServerFault,
    ServerUnreachable,
    Transient,
)
from migration.ledger.ledger import Ledger
from migration.ledger.records import Asked, BookState, Intention
from migration.model import (
    BookId,
    Digest,
    EbookId,
    EbookMetadata,
    ItemId,
    ShelfId,
    SourceId,
    UploadId,
)
from migration.server.bookshelves import Bookshelves, ShelfItem
from migration.server.client import BookshelfClient
from migration.server.http.responses import LARGEST
from migration.server.http.transport import HttpTransport, closes_silently
from migration.server.sequences import Sequence
from migration.server.session import Session
from migration.state_files.owner import this_process
from tests.support.network.answerkit import (
    EBOOK,
    GONE,
    ROUTES,
    TOKEN,
    Raw,
    as_json,
    kinds,
    own_page,
    page,
)

DIGEST = Digest("ab" * 20, 1942)
METADATA = EbookMetadata("Кот", "Kot ~1-5", (), None, None, 2, "en", (), 80)
Write = Callable[[bytes], None]


class Line(socketserver.ThreadingTCPServer):
    """Says the same to every request, whatever it is; counts what it could say before
    the other side hung up."""

    daemon_threads = True
    allow_reuse_address = True

    def __init__(self, say: Callable[[Write], None]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.say = say
        self.said = 0
        self.asked: list[bytes] = []
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(socketserver.StreamRequestHandler):
    server: Line

    def handle(self) -> None:
        head = b""
        while b"\r\n\r\n" not in head and (block := self.request.recv(65536)):
            head += block
        # What was not read when it hangs up would reset the connection, and with it
        # the answer.
        head, _, body = head.partition(b"\r\n\r\n")
        length = re.search(rb"(?im)^content-length: (\d+)", head)
        missing = int(length[1]) - len(body) if length else 0
        while missing > 0 and (block := self.request.recv(missing)):
            missing -= len(block)
        self.server.asked.append(head)
        with contextlib.suppress(OSError):
            self.server.say(self._write)

    def _write(self, data: bytes) -> None:
        self.request.sendall(data)
        self.server.said += len(data)


@pytest.fixture
def lines() -> Iterator[Callable[[Callable[[Write], None]], Line]]:
    """Opens lines; all are closed after the test."""
    opened: list[Line] = []

    def start(say: Callable[[Write], None]) -> Line:
        opened.append(Line(say))
        return opened[-1]

    yield start
    for line in opened:
        line.shutdown()
        line.server_close()


def always(raw: Raw) -> Callable[[Write], None]:
    """One whole answer."""
    headers = (
        raw.headers
        if raw.status == 204
        else raw.headers | {"content-length": str(len(raw.body))}
    )
    head = "".join(
        f"{name}: {value}\r\n"
        for name, value in (headers | {"connection": "close"}).items()
    )
    return lambda write: write(
        f"HTTP/1.1 {raw.status} Whatever\r\n{head}\r\n".encode() + raw.body
    )


HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"


def gigabyte(write: Write) -> None:
    """A list that does not end."""
    write(HEAD + b"Content-Length: 1000000000\r\n\r\n[")
    for _ in range(15_000):
        write(b"1," * 32_768)


def chunks(write: Write) -> None:
    """The same in chunks."""
    write(HEAD + b"Transfer-Encoding: chunked\r\n\r\n")
    for _ in range(15_000):
        write(b"10000\r\n" + b"1," * 32_768 + b"\r\n")


def bomb(write: Write) -> None:
    """A thousandth of what it becomes."""
    data = gzip.compress(b"[" + b"1," * 8_000_000 + b"1]")
    write(
        HEAD
        + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(data)
        + data
    )


def dripping(write: Write) -> None:
    """A byte from time to time, each well before any time-out."""
    write(HEAD + b"Content-Length: 1000\r\n\r\n")
    for _ in range(100):
        write(b" ")
        time.sleep(0.1)


def dripping_headers(write: Write) -> None:
    """The same, before there is any answer at all."""
    write(HEAD)
    for number in range(90):
        write(b"X-%d: 1\r\n" % number)
        time.sleep(0.1)


def cut(write: Write) -> None:
    """Less than was announced."""
    write(HEAD + b'Content-Length: 100\r\n\r\n[{"id": 2, "code": "en"}')


@pytest.mark.parametrize(
    ("say", "kind", "words"),
    [
        (
            gigabyte,
            ServerFault,
            f"answered with HTTP 200 and more than {LARGEST} bytes",
        ),
        (chunks, ServerFault, f"answered with HTTP 200 and more than {LARGEST} bytes"),
        (bomb, ServerFault, "compressed (gzip) without being asked"),
        (dripping, ServerUnreachable, "no answer in time"),
        (dripping_headers, ServerUnreachable, "no answer in time"),
        (cut, ServerUnreachable, "connection closed in the middle of an answer"),
        (
            always(Raw(200, b"[" * 2000, {"content-type": "application/json"})),
            ServerFault,
            "nested more than",
        ),
    ],
    ids=[
        "a gigabyte",
        "endless chunks",
        "a bomb",
        "dripping",
        "dripping headers",
        "cut",
        "deep",
    ],
)
def test_answers_are_bounded(
    lines: Callable[[Callable[[Write], None]], Line],
    say: Callable[[Write], None],
    kind: type[Transient],
    words: str,
) -> None:
    """In what is read of them and in how long that takes; the line is not used
    again."""
    line = lines(say)
    began = time.monotonic()
    with pytest.raises(kind, match=r"GET http://127\.0\.0\.1") as caught:
        HttpTransport(line.url, 0.6).send("GET", "/api/languages")
    assert words in str(caught.value)
    assert time.monotonic() - began < 5
    # What the system keeps on its way comes on top of what was read.
    assert line.said < LARGEST + 16 * 1024 * 1024
    assert b"Accept-Encoding: identity" in line.asked[0]


def test_a_request_that_must_not_be_sent_twice_is_lost_not_failed(
    lines: Callable[[Callable[[Write], None]], Line],
) -> None:
    """Whatever came in the place of its answer."""
    [good] = [
        answer
        for method, path, answer, _key in ROUTES
        if (method, path) == ("POST", "/api/ebooks")
    ]
    says = [always(raw) for raw in kinds(good).values()] + [gigabyte, dripping, cut]
    lost = []
    for say in says:
        line = lines(say)
        with pytest.raises(ResponseLost) as caught:
            HttpTransport(line.url, 0.6).send("POST", "/api/ebooks", body={})
        lost.append(pickle.loads(pickle.dumps(caught.value)))
        assert len(line.asked) == 1
    assert sorted({error.retry_after for error in lost}) == [0.0, 7.0, 30.0]
    assert {error.still_running for error in lost} == {True, False}


@pytest.fixture
def stand_in(
    lines: Callable[[Callable[[Write], None]], Line],
) -> Callable[[Raw], BookshelfClient]:
    """A client with a token, of a server in whose place something else answers."""

    def make(raw: Raw) -> BookshelfClient:
        session = Session(HttpTransport(lines(always(raw)).url), "me", "secret", ())
        session._token, session._renew_at = TOKEN, float("inf")
        return BookshelfClient(session)

    return make


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """Where intentions are recorded."""
    made = Ledger(tmp_path, this_process(1), SteadyClock())
    yield made
    made.close()


def calls(
    client: BookshelfClient, ledger: Ledger, number: int
) -> dict[str, Callable[[], object]]:
    """Everything the worker asks of a server over REST; intentions of a book of their
    own each."""
    create = ledger.books.intend(
        BookId(2 * number),
        BookState("w"),
        Intention(Asked.CREATE, datetime.now(tz=UTC)),
    )
    attach = ledger.books.intend(
        BookId(2 * number + 1),
        BookState("w", EbookId(5)),
        Intention(Asked.ATTACH, datetime.now(tz=UTC), UploadId(7), "EPUB", DIGEST),
    )
    return {
        "login": client.session.login,
        "vocabulary": client.vocabulary,
        "check": lambda: client.check(DIGEST, "epub"),
        "extracted": lambda: client.extracted(UploadId(7)),
        "find": lambda: client.find("w ~1-5"),
        "create": lambda: client.create(create, METADATA, {}, bare=False),
        "attach": lambda: client.attach(attach, EbookId(5)),
        "attached": lambda: client.attached(EbookId(5), DIGEST, "epub"),
        "ebook": lambda: client.ebook(EbookId(5)),
        "newest": lambda: client.newest(1),
        "rate": lambda: client.rate(EbookId(5), 80),
        "delete": lambda: client.delete(EbookId(5)),
        "unrate": lambda: client.unrate(EbookId(5)),
        "delete source": lambda: client.delete_source(SourceId(9)),
        **calls_of_shelves(Bookshelves(client.session)),
    }


def calls_of_shelves(shelves: Bookshelves) -> dict[str, Callable[[], object]]:
    """Every call of the shelves' part."""
    item = ShelfItem(ItemId(8), 1, "", EbookId(5))
    return {
        "mine": lambda: list(shelves.mine()),
        "find shelf": lambda: shelves.find("Read"),
        "get shelf": lambda: shelves.get(ShelfId(3)),
        "create shelf": lambda: shelves.create("Read", public=False),
        "items": lambda: list(shelves.items(ShelfId(3))),
        "add": lambda: shelves.add(ShelfId(3), EbookId(5), "note"),
        "with ebook": lambda: shelves.with_ebook(EbookId(5)),
        "change note": lambda: shelves.change_note(item, "new"),
        "remove item": lambda: shelves.remove_item(ItemId(8)),
        "delete shelf": lambda: shelves.delete(ShelfId(3)),
    }


def test_no_cache_can_answer(lines: Callable[[Callable[[Write], None]], Line]) -> None:
    """What is asked twice is not the same request twice, and says that it wants no old
    answer."""
    line = lines(always(as_json(EBOOK)))
    sender = HttpTransport(line.url)
    for _ in range(2):
        sender.send("GET", "/api/ebooks/5")
    sender.close()
    first, second = line.asked
    assert first.split()[1] != second.split()[1]
    assert b"cache-control: no-cache" in first.lower()


def test_an_ebook_that_holds_a_file_is_not_deleted(
    stand_in: Callable[[Raw], BookshelfClient],
) -> None:
    """It is looked at once more before."""
    with pytest.raises(ServerFault, match="holds files after all"):
        stand_in(as_json(EBOOK)).delete(EbookId(5))


def test_a_rating_that_is_not_there_afterwards_is_no_answer(
    stand_in: Callable[[Raw], BookshelfClient],
) -> None:
    """To the one who took it back it is."""
    client = stand_in(as_json({"id": 5, "rating": None, "rating_count": 0}))
    client.unrate(EbookId(5))
    with pytest.raises(ServerFault, match="was rated and has no rating"):
        client.rate(EbookId(5), 80)


def test_a_file_that_is_gone_is_deleted(
    stand_in: Callable[[Raw], BookshelfClient],
) -> None:
    """By whomever."""
    stand_in(as_json({"message": GONE}, 404)).delete_source(SourceId(9))


def test_an_id_that_was_there_before_is_not_of_what_was_made_now() -> None:
    """Ids only grow; two requests at the same time may come back in any order."""
    ebooks = Sequence("ebook")
    before = ebooks.highest
    assert ebooks.made(8, before) == 8
    assert ebooks.made(7, before) == 7
    with pytest.raises(ResponseLost, match="made ebook 8, which was there before"):
        ebooks.made(8, ebooks.highest)


def test_no_call_of_the_client_takes_anything_else_for_an_answer(
    stand_in: Callable[[Raw], BookshelfClient], ledger: Ledger
) -> None:
    """Neither refused nor gone nor done nor not there: wait and try again, for every
    call and every kind."""
    number = 0
    for kind, raw in kinds({"maintenance": True}).items():
        client = stand_in(raw)
        for name, call in calls(client, ledger, number := number + 1).items():
            with pytest.raises(Transient) as caught:
                call()
            once = ("create", "attach", "create shelf")
            expected = ResponseLost if name in once else ServerFault
            assert type(caught.value) is expected, (kind, name, caught.value)
        assert isinstance(client.probe(), Transient), kind
        assert not closes_silently(client.session.server), kind
        assert _deaf(Endpoints(client.session.server, (), None)).startswith(
            "it does not reach"
        ), kind
        client.session.close()


def test_the_servers_own_no_is_heard(
    stand_in: Callable[[Raw], BookshelfClient], ledger: Ledger
) -> None:
    """A wrong password, an ebook that is gone; and a portal's page at the login is no
    refusal of it."""
    with pytest.raises(LoginRefused, match="Invalid Login"):
        stand_in(as_json({"error": "Invalid Login"})).session.login()
    with pytest.raises(LoginRefused, match="Provide credentials"):
        stand_in(own_page(400, "Provide credentials")).session.login()
    assert stand_in(as_json({"message": GONE}, 404)).ebook(EbookId(5)) is None
    stand_in(as_json({"message": GONE}, 404)).delete(EbookId(5))
    found = stand_in(as_json(EBOOK)).ebook(EbookId(5))
    assert found is not None
    assert found.sources == ((9, "epub", 1942),)
    assert (
        _deaf(
            Endpoints(
                stand_in(as_json({"message": "Access denied"}, 401)).session.server,
                (),
                None,
            )
        )
        == ""
    )
    with pytest.raises(ServerFault, match="the file is sent again"):
        stand_in(as_json({"message": GONE}, 404)).extracted(UploadId(7))
    with pytest.raises(
        ServerFault,
        match=r"a redirect to http://portal\.example/login; a proxy or a portal stands",
    ):
        stand_in(page(302, location="http://portal.example/login")).session.login()


def test_an_intention_sends_one_request(
    stand_in: Callable[[Raw], BookshelfClient], ledger: Ledger
) -> None:
    """A worker whose code repeats a lost request in a loop sends it once; it is looked
    up first."""
    client = stand_in(page(502))
    asked = Intention(Asked.CREATE, datetime.now(tz=UTC))
    intended = ledger.books.intend(BookId(1), BookState("w"), asked)
    sent = 0
    with pytest.raises(Deferred):
        for _ in range(5):
            try:
                client.create(intended, METADATA, {}, bare=False)
            except ResponseLost:
                sent += 1
    with pytest.raises(Deferred):
        client.create(
            ledger.books.intend(BookId(1), BookState("w"), asked),
            METADATA,
            {},
            bare=False,
        )
    assert sent == 1


def test_titles_are_looked_for_with_what_a_path_can_hold(
    lines: Callable[[Callable[[Write], None]], Line],
) -> None:
    """Up to a slash; only an exact title counts; what no path can hold is found by
    nobody."""
    items: list[Json] = [
        {"id": 3, "title": "AC/DC"},
        {"id": 4, "title": "AC"},
        {"id": 5, "title": "AC/DC 2"},
    ]
    line = lines(always(as_json({"items": items, "total": 3})))
    session = Session(HttpTransport(line.url), "me", "secret", ())
    session._token, session._renew_at = TOKEN, float("inf")
    client = BookshelfClient(session)
    assert client.find("AC/DC") == [3]
    assert client.find("Nobody's 100 %?#") == []
    assert [request.split()[1].partition(b"?")[0] for request in line.asked] == [
        b"/api/ebooks/index/AC",
        b"/api/ebooks/index/Nobody%27s%20100%20%25%3F%23",
    ]
    assert client.find("/") == client.find("..") == []
    assert len(line.asked) == 2


def test_an_ebook_of_somebody_else_is_refused_and_the_run_goes_on(
    lines: Callable[..., Line],
) -> None:
    """One ebook that may not be changed is no reason to end, as a refused login is."""

    def say(write: Write) -> None:
        said = {
            b"POST": as_json({"access_token": TOKEN}),
            b"GET": as_json(EBOOK | {"sources": []}),
        }
        always(
            said.get(
                line.asked[-1].split()[0], as_json({"message": "Access denied"}, 403)
            )
        )(write)

    line = lines(say)
    session = Session(HttpTransport(line.url), "ann", "pw", ("ws://127.0.0.1:1/ws",))
    client = BookshelfClient(session)
    with pytest.raises(
        RefusedByServer, match="'ann' may only change ebooks of its own"
    ):
        client.delete(EbookId(5))
