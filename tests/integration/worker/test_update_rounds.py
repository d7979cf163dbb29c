"""Rounds of random edits in Calibre and on the server: after each run nothing differs
but what was reported."""

import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    rule,
    run_state_machine_as_test,
)

from migration.calibre.library import CalibreLibrary
from migration.metadata.compare import Field, Fields, differences, of_metadata
from migration.metadata.ebook_metadata import make_metadata
from migration.model import PersonName, Vocabulary
from migration.state_files.names import LEDGER_NAME
from tests.support.environment import end
from tests.support.libraries import calibre_edits as calibre
from tests.support.libraries.librarykit import Library, Made, epub
from tests.support.libraries.updatekit import FAST, Server
from tests.support.servers.inprocess import LocalWorkers
from tests.support.servers.shelf import start_shelf

pytestmark = pytest.mark.integration
BOOKS = 4
ROUNDS = 20
NAMES = st.sampled_from(["Ada", "Ben", "Čapek", "Doe"])
WORDS = st.sampled_from(["Harbour", "Кот", "Raven & Co", "A 'quoted' title", "戦争"])
SERIES = st.none() | st.sampled_from(["Tales", "Sagas"])
GENRES = st.frozensets(st.sampled_from(["Horror", "War", "Travel"]))
LANGUAGES = {"eng": "en", "ces": "cs", "slk": "sk"}
#: An edit: book, side, field, value.
EDIT = st.tuples(
    st.integers(1, BOOKS),
    st.sampled_from(["calibre", "server"]),
    st.one_of(
        st.tuples(st.just("title"), WORDS),
        st.tuples(
            st.just("authors"), st.lists(NAMES, min_size=1, max_size=2, unique=True)
        ),
        st.tuples(st.just("series"), SERIES),
        st.tuples(st.just("index"), st.integers(1, 9)),
        st.tuples(st.just("genres"), GENRES),
        st.tuples(st.just("language"), st.sampled_from(sorted(LANGUAGES))),
        st.tuples(st.just("rating"), st.none() | st.sampled_from([2, 5, 10])),
    ),
)


#: The fields that an edit on the server touches: an index counts with its series.
AFFECTED: dict[str, tuple[Field, ...]] = {
    "series": (Field.SERIES, Field.SERIES_INDEX),
    "index": (Field.SERIES, Field.SERIES_INDEX),
}


def edit_calibre(library: Library, book: int, field: str, value: object) -> None:
    """As Calibre does it."""
    match field, value:
        case "title", str(title):
            calibre.set_title(library, book, title)
        case "authors", list(names):
            people = [(f"Jane {name}", f"{name}, Jane") for name in names]
            calibre.set_names(library, book, "authors", people)
        case "series", name:
            calibre.set_names(library, book, "series", [(name,)] if name else [])
        case "index", int(index):
            calibre.set_index(library, book, float(index))
        case "genres", frozenset(names):
            calibre.set_names(library, book, "tags", [(name,) for name in names])
        case "language", code:
            calibre.set_names(library, book, "languages", [(code,)])
        case "rating", stars:
            calibre.set_names(library, book, "ratings", [(stars,)] if stars else [])


def edit_server(server: Server, ebook: int, field: str, value: object) -> None:
    """As a librarian does it."""
    now = server.get(f"/ebooks/{ebook}")
    match field, value:
        case "title", title:
            server.patch(now, title=title)
        case "authors", list(names):
            people = [{"last_name": name, "first_name": "Jane"} for name in names]
            server.patch(now, authors=people)
        case "series", name:
            server.patch(now, series={"title": name} if name else None)
        case "index", index:
            server.patch(now, series_index=index)
        case "genres", frozenset(names):
            ids = server.ids("genres")
            server.patch(now, genres=[{"id": ids[name]} for name in sorted(names)])
        case "language", str(code):
            number = server.ids("languages")[LANGUAGES[code]]
            server.patch(now, language={"id": number})
        case "rating", stars:
            server.rate(now, stars * 10 if isinstance(stars, int) else None)


class Rounds(RuleBasedStateMachine):
    """A library and a server that people edit between runs."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.library = Library(self.folder / "library")
        self.library.add(
            *(
                Made(title=f"Book {n}", files={"EPUB": epub(n)}, tags=("Horror",))
                for n in range(BOOKS)
            )
        )
        self.shelf = start_shelf(self.folder / "shelf")
        self.server = Server(self.shelf.url, self.shelf.session())
        self.workers = LocalWorkers(self.folder / "state")
        assert self.workers.run(self.library.root, self.shelf, **FAST)[0] == 0
        #: The fields edited on the server, with Calibre's value of then.
        self.against: dict[tuple[int, Field], object] = {}
        with closing(sqlite3.connect(self.ledger)) as db:
            self.ebooks = dict(db.execute("SELECT book_id, ebook_id FROM books"))

    @property
    def ledger(self) -> Path:
        return self.folder / "state" / LEDGER_NAME

    @rule(
        edits=st.lists(EDIT, min_size=3, max_size=8),
        prefer=st.sampled_from(["calibre", "server"]),
    )
    def round(
        self, edits: list[tuple[int, str, tuple[str, object]]], prefer: str
    ) -> None:
        """Edits on both sides, then a run."""
        for book, side, (field, value) in edits:
            if side == "calibre":
                edit_calibre(self.library, book, field, value)
            else:
                edit_server(self.server, self.ebooks[book], field, value)
                # Whoever edits the server edits against what Calibre has then.
                ours = self.ours()[book]
                for one in AFFECTED.get(field) or (Field(field),):
                    self.against[book, one] = ours.of(one)
        arguments = ("--prefer", prefer)
        assert (
            self.workers.run(self.library.root, self.shelf, *arguments, **FAST)[0] == 0
        )
        self.compare(prefer)

    def compare(self, prefer: str) -> None:
        """What differs was reported, or edited on the server against the same value."""
        with closing(sqlite3.connect(self.ledger)) as db:
            reported = {
                (book, field): kind
                for book, field, kind in db.execute(
                    "SELECT book_id, field, kind FROM standing"
                )
            }
        for book, ours in self.ours().items():
            theirs = shown(self.server.get(f"/ebooks/{self.ebooks[book]}"))
            for one in differences(ours, theirs, tuple(Field)[:7]):
                # A book that Calibre has not changed is not looked at: what people
                # changed on the server stays.
                edit = self.against.get((book, one.field), self)
                stays = edit == ours.of(one.field)
                why = reported.get((book, one.field), "")
                allowed = ("kept",) if prefer == "calibre" else ("kept", "conflict")
                assert stays or why in allowed, (one, why)

    def ours(self) -> dict[int, Fields]:
        """Every book's values, as they would be sent now."""
        vocabulary = Vocabulary(self.server.ids("languages"), self.server.ids("genres"))
        with CalibreLibrary(self.library.root, self.folder) as opened:
            books = opened.read_books(1, BOOKS)
        return {
            book.id: of_metadata(
                make_metadata(
                    book, vocabulary, default_language="en", library_uuid="x"
                ),
                "",
            )
            for book in books
        }

    def teardown(self) -> None:
        if hasattr(self, "shelf"):
            end(self.shelf.process)
            shutil.rmtree(self.folder)


def shown(ebook: dict[str, object]) -> Fields:
    """What an ebook shows, read without the program's code."""
    series, genres = ebook.get("series") or {}, ebook.get("genres") or []
    people, language = ebook.get("authors") or [], ebook.get("language") or {}
    assert isinstance(series, dict)
    assert isinstance(language, dict)
    assert isinstance(genres, list)
    assert isinstance(people, list)
    index, rating = ebook.get("series_index"), ebook.get("my_rating")
    return Fields(
        title=str(ebook["title"]),
        authors=tuple(
            PersonName(one["last_name"], one.get("first_name", "")) for one in people
        ),
        series=series.get("title"),
        series_index=index if isinstance(index, int) else None,
        language=language["code"],
        genres=frozenset(one["name"] for one in genres),
        rating=rating if isinstance(rating, int | float) else None,
    )


def test_after_each_run_only_reported_differences_remain() -> None:
    run_state_machine_as_test(
        Rounds,
        settings=settings(
            max_examples=3,
            stateful_step_count=ROUNDS + 1,
            deadline=None,
            # Without shrinking, which takes minutes over real processes.
            phases=[Phase.explicit, Phase.reuse, Phase.generate],
            suppress_health_check=list(HealthCheck),
        ),
    )
