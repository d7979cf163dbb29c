"""The client's part for bookshelves, against every server and for both roles."""

import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from migration.errors import RefusedByServer, ServerFault, SuperuserMissing
from migration.model import EbookId, ItemId, ShelfId, SourceId
from migration.server.bookshelves import Bookshelf, Bookshelves, ShelfItem
from migration.server.client import BookshelfClient
from migration.server.http.transport import HttpTransport
from migration.server.session import Session
from tests.support.servers.shelfkit import Server, epub

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("contract")]


@pytest.fixture
def shelves_of(request: pytest.FixtureRequest) -> Callable[[Server], Bookshelves]:
    """Makes the client's part for a user; closed after the test."""

    def make(user: Server) -> Bookshelves:
        session = Session(HttpTransport(user.url), user.username, user.password, ())
        request.addfinalizer(session.close)
        return Bookshelves(session)

    return make


def _name() -> str:
    return f"Read {uuid.uuid4().hex[:12]}"


@pytest.mark.parametrize("role", ["server", "reader"])
def test_a_shelf_is_made_found_and_filled(
    role: str,
    request: pytest.FixtureRequest,
    shelves_of: Callable[[Server], Bookshelves],
) -> None:
    """By a superuser and by a user; a second add changes nothing."""
    user = request.getfixturevalue(role)
    shelves, name, ebook = shelves_of(user), _name(), EbookId(user.ebook())
    assert shelves.find(name) == ()
    shelf = shelves.create(name, public=False, description="From Calibre")
    assert shelves.find(name) == (shelf,)
    assert shelves.find(name.upper()) == ()
    assert shelves.get(shelf) == Bookshelf(shelf, name, "From Calibre", False, 0)
    assert shelves.with_ebook(ebook) == {}
    assert shelves.add(shelf, ebook, "first")
    assert shelves.add(shelf, ebook, "second")
    [item] = shelves.items(shelf)
    assert (item.note, item.ebook_id) == ("first", ebook)
    assert shelves.with_ebook(ebook) == {shelf: name}
    assert Bookshelf(shelf, name, "From Calibre", None, 1) in shelves.mine()


def test_a_shelf_is_filled_by_several_at_the_same_moment(
    server: Server, shelves_of: Callable[[Server], Bookshelves]
) -> None:
    """A MyBookshelf2 answers all but one of them with HTTP 500."""
    shelf = shelves_of(server).create(_name(), public=False)
    ebooks = [EbookId(server.ebook()) for _ in range(6)]
    each = [shelves_of(server) for _ in ebooks]
    with ThreadPoolExecutor(len(ebooks)) as pool:
        added = pool.map(lambda one, ebook: one.add(shelf, ebook), each, ebooks)
        assert list(added) == [True] * len(ebooks)
    assert {item.ebook_id for item in each[0].items(shelf)} == set(ebooks)


@pytest.mark.parametrize(
    "name",
    [
        "AC/DC {}",
        "100 % {}",
        "a_b {}",
        "back\\slash {}",
        "Сказки ё {}",
        "é/{}",
        "tab\t{}",
    ],
)
def test_every_name_is_found_exactly(
    name: str, server: Server, shelves_of: Callable[[Server], Bookshelves]
) -> None:
    """Whatever the path of the index cannot hold or takes for a wildcard."""
    shelves, name = shelves_of(server), name.format(uuid.uuid4().hex[:12])
    assert shelves.find(name) == ()
    both = (shelves.create(name, public=True), shelves.create(name, public=True))
    shelves.create(f"{name} too", public=True)
    assert shelves.find(name) == both


def test_all_pages_of_a_shelf_are_read(
    server: Server, shelves_of: Callable[[Server], Bookshelves]
) -> None:
    """In both orders; a full last page is followed by none."""
    shelves = shelves_of(server)
    shelf = shelves.create(_name(), public=False)
    ebooks = [EbookId(server.ebook()) for _ in range(20)]
    for ebook in ebooks:
        shelves.add(shelf, ebook)
    assert [item.ebook_id for item in shelves.items(shelf)] == ebooks
    ebooks.append(EbookId(server.ebook()))
    shelves.add(shelf, ebooks[-1])
    assert [item.ebook_id for item in shelves.newest(shelf, 2)] == ebooks[:-3:-1]
    assert len(shelves.newest(shelf, 100)) == 21
    assert shelves.newest(ShelfId(999_999_999), 2) == []


def test_an_item_is_found_by_its_ebook_on_a_long_shelf(
    server: Server, shelves_of: Callable[[Server], Bookshelves]
) -> None:
    """With its id, with another's, and without one; whatever page it is on."""
    shelves = shelves_of(server)
    shelf = shelves.create(_name(), public=False)
    ebooks = [EbookId(server.ebook()) for _ in range(63)]
    for ebook in ebooks:
        shelves.add(shelf, ebook)
    items = list(shelves.items(shelf))
    assert [item.ebook_id for item in items] == ebooks
    for place in (0, 19, 20, 39, 41, 59, 60, 62):
        item = items[place]
        for known in (item.id, items[30].id, None):
            assert shelves.item(shelf, ebooks[place], known) == item
    assert shelves.item(shelf, EbookId(server.ebook()), items[5].id) is None
    assert shelves.item(ShelfId(999_999_999), ebooks[0], items[0].id) is None


def test_a_superuser_changes_notes_and_empties_shelves(
    server: Server, shelves_of: Callable[[Server], Bookshelves]
) -> None:
    """An item somebody changed meanwhile is left; what is gone is fine."""
    shelves = shelves_of(server)
    shelf, ebook = shelves.create(_name(), public=False), EbookId(server.ebook())
    shelves.add(shelf, ebook, "old")
    [item] = shelves.items(shelf)
    shelves.change_note(item, "new")
    with pytest.raises(RefusedByServer, match="Stalled record"):
        shelves.change_note(item, "late")
    [after] = shelves.items(shelf)
    assert (after.note, after.version) == ("new", item.version + 1)
    shelves.remove_item(item.id)
    shelves.remove_item(item.id)
    assert list(shelves.items(shelf)) == []
    shelves.delete(shelf)
    shelves.delete(shelf)
    assert shelves.get(shelf) is None
    assert list(shelves.items(shelf)) == []
    assert not shelves.add(shelf, ebook)


def test_a_user_is_told_that_the_role_is_missing(
    reader: Server, shelves_of: Callable[[Server], Bookshelves]
) -> None:
    """And nothing is changed."""
    shelves = shelves_of(reader)
    shelf, ebook = shelves.create(_name(), public=False), EbookId(reader.ebook())
    shelves.add(shelf, ebook, "old")
    [item] = shelves.items(shelf)
    calls: list[Callable[[], None]] = [
        lambda: shelves.change_note(item, "new"),
        lambda: shelves.remove_item(item.id),
        lambda: shelves.delete(shelf),
    ]
    for call in calls:
        with pytest.raises(SuperuserMissing, match="lacks the role 'superuser'"):
            call()
    assert list(shelves.items(shelf)) == [item]


def test_an_ebook_that_does_not_exist_is_trouble_not_a_refusal(
    server: Server, shelves_of: Callable[[Server], Bookshelves]
) -> None:
    """HTTP 500 says nothing."""
    shelves = shelves_of(server)
    shelf = shelves.create(_name(), public=False)
    with pytest.raises(ServerFault, match="HTTP 500"):
        shelves.add(shelf, EbookId(999_999_999))


def test_a_login_knows_its_role(server: Server, reader: Server) -> None:
    """From the claims of its token."""
    roles = []
    for user in (server, reader):
        session = Session(HttpTransport(user.url), user.username, user.password, ())
        roles.append(session.is_superuser())
        session.close()
    assert roles == [True, False]


def test_files_and_ratings_are_taken_back(server: Server) -> None:
    """Twice is fine; the ebook stays."""
    session = Session(HttpTransport(server.url), server.username, server.password, ())
    client = BookshelfClient(session)
    ebook_id, source_id = map(int, server.with_file(epub()))
    ebook, source = EbookId(ebook_id), SourceId(source_id)
    client.rate(ebook, 80)
    for _ in range(2):
        client.unrate(ebook)
        client.delete_source(source)
    found = client.ebook(ebook)
    assert found is not None
    assert (found.sources, found.rating) == ((), None)
    client.delete(ebook)
    assert client.ebook(ebook) is None
    session.close()


def test_items_are_values() -> None:
    """Two of the same are equal, and none can be changed."""
    item = ShelfItem(ItemId(8), 1, "note", EbookId(5))
    assert item == ShelfItem(ItemId(8), 1, "note", EbookId(5))
    assert {item, ShelfItem(ItemId(8), 1, "note", EbookId(5))} == {item}
    assert Bookshelf(ShelfId(3), "Read").public is None
