"""Rows of batches in a real PostgreSQL with MyBookshelf2's tables."""

import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psycopg
import pytest

from migration.errors import ServerDatabaseUnusable, ServerFault, Transient
from migration.metadata.compare import Fields
from migration.model import BookId, FileId, PersonName, Receipt
from migration.server.direct import doubles
from migration.server.direct.batch import (
    LeftBehind,
    Placed,
    Refused,
    Shelved,
    Written,
)
from migration.server.direct.connection import DatabaseSession, connect
from migration.server.direct.doubles import Merged
from migration.server.direct.rows import Choice, ServerRows
from tests.support.servers.directkit import CHOICE, digest_of, placed
from tests.support.servers.postgreskit import Postgres

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("postgresql")]

Ask = Callable[..., list[tuple[Any, ...]]]
Open = Callable[..., ServerRows]


def book(rows: ServerRows, number: int, **more: Any) -> Placed:
    """A book with ids from the sequences."""
    formats = more.get("formats", ("EPUB",))
    [ebook], sources = rows.draw(1, len(formats))
    return placed(number, (ebook, tuple(sources)), **more)


def left(one: Placed) -> LeftBehind:
    """What the ledger keeps of a book."""
    drawn = one.drawn
    files = zip(drawn.book.files, drawn.source_ids, drawn.locations, strict=True)
    return LeftBehind(
        drawn.book.id,
        drawn.ebook_id,
        tuple((file.id, source, path) for file, source, path in files),
        drawn.base_dir,
    )


def why(results: object) -> list[str]:
    """Why books were refused."""
    assert isinstance(results, list)
    return [one.why if isinstance(one, Refused) else "" for one in results]


def test_a_book_is_as_the_server_would_have_made_it(open_rows: Open, ask: Ask) -> None:
    """All of its rows; the receipt is read back from them."""
    rows = open_rows()
    one = book(
        rows,
        5,
        formats=("EPUB", "MOBI"),
        authors=(PersonName("Doe", "Jane"), PersonName("Homer")),
        series="Birds",
        series_index=4,
        rating=80,
        book={"description": "A bird.", "shelves": frozenset({"poems"}), "note": "Hm."},
    )
    [written] = rows.write(7, [one])
    ebook, (first, second) = one.drawn.ebook_id, one.drawn.source_ids
    epub, mobi = FileId(BookId(5), "EPUB"), FileId(BookId(5), "MOBI")
    assert written == Written(
        BookId(5),
        ebook,
        (
            (epub, Receipt(one.digests[0], ebook, first)),
            (mobi, Receipt(one.digests[1], ebook, second)),
        ),
        {("author", "Doe, Jane"): 1, ("author", "Homer"): 2, ("series", "Birds"): 1},
        Fields(
            title="The Raven",
            authors=(PersonName("Doe", "Jane"), PersonName("Homer")),
            series="Birds",
            series_index=4,
            language="en",
            genres=frozenset({"Fantasy"}),
            rating=80.0,
            formats=frozenset({"epub", "mobi"}),
        ),
        4,
        one.cover,
        (Shelved("poems", 1, 1, made_shelf=True),),  # type: ignore[arg-type]
    )
    assert ask(
        "SELECT created = modified, created_by_id, modified_by_id, description, "
        "rating, rating_count, downloads, base_dir, "
        "full_text = to_tsvector('custom', ebook_full_title(id)) FROM ebook"
    ) == [(True, 2, 2, "A bird.", 80.0, 1, None, one.drawn.base_dir, True)]
    assert ask("SELECT ebook_id, rating, created_by_id FROM ebook_rating") == [
        (ebook, 80.0, 2)
    ]
    assert ask("SELECT load_source, format_id, version_id FROM source ORDER BY id") == [
        ("calibre:1a2b3c4d:5:EPUB", 8, 1),
        ("calibre:1a2b3c4d:5:MOBI", 6, 1),
    ]
    assert ask("SELECT name, public, description, version_id FROM bookshelf") == [
        ("poems", False, "From Calibre", 2)
    ]
    assert ask(
        'SELECT type::text, ebook_id, note, "order", created_by_id FROM bookshelf_item'
    ) == [("EBOOK", ebook, "Hm.", None, 2)]


def test_triggers_find_nothing_and_the_text_is_right(open_rows: Open, ask: Ask) -> None:
    """Each row is written once: none of its versions is dead. Other sessions' triggers
    work on."""
    rows = open_rows()
    books = [
        book(rows, n, authors=(PersonName(f"Au{n}", "Bo"), PersonName(f"Zed{n % 3}")))
        for n in range(1, 41)
    ]
    results = rows.write(7, books)
    assert all(isinstance(one, Written) for one in results)
    assert rows.shadowed is True
    wrong = "full_text IS DISTINCT FROM to_tsvector('custom', ebook_full_title(id))"
    assert ask(f"SELECT count(*), count(*) FILTER (WHERE {wrong}) FROM ebook") == [
        (40, 0)
    ]
    # A row written again in its transaction has another command number.
    assert ask("SELECT count(DISTINCT cmin::text) FROM ebook") == [(1,)]
    assert ask(
        "SELECT count(DISTINCT created), bool_and(created = modified) FROM ebook"
    ) == [(40, True)]
    ask("UPDATE ebook SET title = 'Quoth' WHERE id = %s", results[0].ebook_id)  # type: ignore[union-attr]
    assert ask("SELECT count(*) FROM ebook WHERE full_text @@ 'quoth'::tsquery") == [
        (1,)
    ]


@pytest.mark.parametrize("how", ["qualified", "definer", "other text"])
def test_triggers_that_are_not_led_astray_are_left_on(
    how: str, open_rows: Open, ask: Ask
) -> None:
    """Tried with the first book: then the server's own text is there all the same."""
    if how == "definer":
        ask("ALTER FUNCTION refresh(bigint) SET search_path = public, pg_temp")
    elif how == "qualified":
        ask(
            "CREATE OR REPLACE FUNCTION refresh(bigint) RETURNS void LANGUAGE plpgsql AS "
            "$$ BEGIN UPDATE public.ebook SET full_text = to_tsvector('custom', 'own') "
            "WHERE id = $1; END $$"
        )
    else:
        ask(
            "CREATE OR REPLACE FUNCTION ebook_full_title(bigint) RETURNS varchar STABLE "
            "LANGUAGE sql AS $$ SELECT 'own'::varchar $$"
        )
    rows = open_rows()
    results = rows.write(7, [book(rows, n) for n in range(1, 4)])
    assert all(isinstance(one, Written) for one in results)
    assert rows.shadowed is False
    assert ask("SELECT count(*) FROM ebook") == [(3,)]
    if how != "definer":
        assert ask("SELECT DISTINCT full_text::text FROM ebook") == [("'own':1",)]
    wrong = "full_text IS DISTINCT FROM to_tsvector('custom', ebook_full_title(id))"
    if how != "qualified":
        assert ask(f"SELECT count(*) FROM ebook WHERE {wrong}") == [(0,)]


def test_bad_books_are_found_and_the_others_are_written(
    open_rows: Open, ask: Ask
) -> None:
    """What is seen beforehand, and what only the database knows."""
    rows = open_rows()
    books = [book(rows, n) for n in range(1, 11)]
    books[2] = book(rows, 3, title="x" * 300)
    books[5] = book(rows, 6, genres=((999, "Gone"),))
    books[8] = book(rows, 9, language_id=77)
    books[9] = replace(book(rows, 10), digests=books[0].digests)
    results = rows.write(7, books)
    assert [one.book for one in results] == [one.drawn.book.id for one in books]
    said = why(results)
    assert [n for n, one in enumerate(said) if one] == [2, 5, 8, 9]
    assert said[2] == "its title is longer than 256 characters"
    assert "ForeignKeyViolation" in said[5]
    assert "ForeignKeyViolation" in said[8]
    assert said[9] == "another book of its batch has the same file"
    assert ask("SELECT count(*) FROM ebook") == [(6,)]
    assert ask("SELECT count(*) FROM source") == [(6,)]


@pytest.mark.parametrize("indexed", [False, True])
def test_a_file_that_somebody_uploaded_meanwhile_is_not_written(
    indexed: bool, open_rows: Open, ask: Ask
) -> None:
    """Since the ledger last looked, with and without an index on size and hash."""
    if indexed:
        ask("CREATE UNIQUE INDEX ON source (size, hash)")
    ask("SELECT setval('source_id_seq', 5000)")
    rows = open_rows(replace(CHOICE, looked=5000))
    rows.write(1, [book(rows, 1)])
    [theirs] = rows.write(2, [book(rows, 2)])
    assert isinstance(theirs, Written)
    ask("UPDATE source SET load_source = 'own.epub' WHERE id = %s", 5002)
    again = replace(book(rows, 3), digests=(digest_of("2/EPUB"),))
    results = rows.write(3, [again, book(rows, 4)])
    assert why(results) == [
        f"its EPUB has been uploaded meanwhile (ebook {theirs.ebook_id})",
        "",
    ]
    assert ask("SELECT count(*) FROM ebook") == [(3,)]


def test_an_author_that_is_gone_is_made_again(open_rows: Open, ask: Ask) -> None:
    """Merged or deleted by people: remembered ids are forgotten, the batch is written."""
    rows = open_rows()
    rows.write(1, [book(rows, 1, series="Birds", book={"shelves": frozenset({"a"})})])
    ask("DELETE FROM author")
    ask("DELETE FROM bookshelf_item")
    ask("DELETE FROM bookshelf")
    ask("UPDATE ebook SET series_id = NULL")
    ask("DELETE FROM series")
    more = {"series": "Birds", "book": {"shelves": frozenset({"a"})}}
    results = rows.write(2, [book(rows, n, **more) for n in (2, 3)])
    assert why(results) == ["", ""]
    assert ask("SELECT count(*) FROM author WHERE last_name = 'Doe'") == [(1,)]
    assert ask("SELECT count(*) FROM series") == [(1,)]
    assert ask("SELECT count(*) FROM bookshelf") == [(1,)]


def test_names_are_found_by_every_letter(open_rows: Open, ask: Ask) -> None:
    """As the API does: case counts, and a first name that is null is not empty."""
    ask(
        "INSERT INTO author (version_id, created, modified, last_name, first_name) "
        "SELECT 1, now(), now(), l, f FROM (VALUES ('doe', 'Jane'), ('Homer', ''), "
        "('Homer', NULL), ('Homer', NULL), ('Doe', 'Jane')) AS x (l, f)"
    )
    rows = open_rows()
    [written] = rows.write(
        1, [book(rows, 1, authors=(PersonName("Homer"), PersonName("Doe", "Jane")))]
    )
    assert isinstance(written, Written)
    assert written.ids == {("author", "Homer"): 3, ("author", "Doe, Jane"): 5}


def test_lanes_make_a_name_once(open_rows: Open, ask: Ask) -> None:
    """Four at the same moment, each with a session of its own."""
    lanes = [open_rows() for _ in range(4)]
    people = tuple(PersonName(f"Author {n}") for n in range(20))
    books = [
        book(rows, n, authors=people, series="One", book={"shelves": frozenset("s")})
        for n, rows in enumerate(lanes, 1)
    ]
    barrier = threading.Barrier(4)

    def write(rows: ServerRows, one: Placed, n: int) -> None:
        barrier.wait(30)
        rows.write(n, [one])

    threads = [
        threading.Thread(target=write, args=(rows, one, n))
        for n, (rows, one) in enumerate(zip(lanes, books, strict=True))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    counted = "SELECT count(*), count(DISTINCT last_name) FROM author"
    assert ask(counted) == [(20, 20)]
    assert ask("SELECT count(*) FROM series") == [(1,)]
    assert ask("SELECT count(*) FROM bookshelf") == [(1,)]
    assert ask("SELECT count(*) FROM bookshelf_item") == [(4,)]


def test_what_a_killed_process_has_written_is_read_back(
    open_rows: Open, ask: Ask
) -> None:
    """Books whose rows are there, with their shelves; of the others nothing is."""
    rows = open_rows()
    there = book(rows, 1, rating=60, book={"shelves": frozenset({"a", "b"})})
    gone = book(rows, 2)
    [written] = rows.write(7, [there])
    other = open_rows()
    [found] = other.left(7, [left(there), left(gone)])
    assert isinstance(written, Written)
    assert {one.name for one in found.shelved} == {"a", "b"}
    assert replace(found, shelved=()) == replace(written, shelved=())
    assert list(other.provenance()) == [
        (FileId(BookId(1), "EPUB"), written.receipts[0][1])
    ]
    ask("DELETE FROM source")
    assert other.left(7, [left(there)])[0].receipts == ()


def test_folders_of_ebooks_without_files_there_are_taken(
    open_rows: Open, ask: Ask
) -> None:
    """Of earlier ones and of those that people make meanwhile; where files are the
    folder itself is in the way."""

    def make(folder: str, location: str = "") -> None:
        [(ebook,)] = ask(
            "INSERT INTO ebook (version_id, created, modified, title, language_id, "
            "base_dir) VALUES (1, now(), now(), 'x', 2, %s) RETURNING id",
            folder,
        )
        if location:
            ask(
                "INSERT INTO source (version_id, created, modified, ebook_id, location, "
                "format_id, size, hash) VALUES (1, now(), now(), %s, %s, 8, 1, 'x')",
                ebook,
                location,
            )

    ask("SELECT setval('ebook_id_seq', 5000)")
    make("a/empty")
    make("a/elsewhere", "a/full/x.epub")
    make("a/full", "a/full/y.epub")
    ask("SELECT setval('ebook_id_seq', 9000)")
    make("a/last", "a/last/z.epub")
    rows = open_rows()
    folders = ["a/empty", "a/elsewhere", "a/full", "a/new", "a/none"]
    assert rows.taken(folders) == {"a/empty", "a/elsewhere"}
    make("a/new")
    assert rows.taken(folders) == {"a/empty", "a/elsewhere", "a/new"}


def test_a_batch_whose_session_lives_is_not_taken_over(
    open_rows: Open, uri: str
) -> None:
    """Its rows may still come; once it is dead they may not."""
    writer = connect(uri)
    writer.hold(7, 1)
    other = connect(uri)
    with pytest.raises(ServerFault, match="busy"):
        other.hold(7, 0.05)
    other.hold(8, 1)
    writer.close()
    other.hold(7, 30)
    other.close()
    rows = open_rows()
    assert rows.left(7, []) == []


def test_a_lost_session_is_replaced_unless_the_database_is_another(
    open_rows: Open, ask: Ask, postgres: tuple[Postgres, str]
) -> None:
    """After a restart the lane goes on."""
    rows = open_rows()
    one = book(rows, 1)
    ask(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE "
        "application_name = 'calibre-direct' AND datname = current_database()"
    )
    with pytest.raises(Transient):
        rows.write(7, [one])
    assert why(rows.write(7, [one])) == [""]
    ask("ALTER TABLE ebook RENAME TO was")
    ask(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE "
        "application_name = 'calibre-direct' AND datname = current_database()"
    )
    with pytest.raises(Transient):
        rows.draw(1, 1)
    with pytest.raises(ServerDatabaseUnusable, match="no table 'ebook'"):
        rows.draw(1, 1)


def test_nobody_is_waited_for_longer_than_a_second(open_rows: Open, uri: str) -> None:
    """Somebody who has locked a table makes the batch wait, not fail for good."""
    rows = open_rows()
    one = book(rows, 1)
    with psycopg.connect(uri) as other:
        other.execute("LOCK TABLE source IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(ServerFault, match="LockNotAvailable"):
            rows.write(7, [one])
    assert why(rows.write(7, [one])) == [""]


# -- doubles ---------------------------------------------------------------------------


def make_theirs(ask: Ask) -> tuple[int, int]:
    """A person's author and series of the same names; returns their ids."""
    [(author,)] = ask(
        "INSERT INTO author (version_id, created, modified, last_name, first_name) "
        "VALUES (1, now(), now(), 'Doe', 'Jane') RETURNING id"
    )
    [(series,)] = ask(
        "INSERT INTO series (version_id, created, modified, title) "
        "VALUES (1, now(), now(), 'Birds') RETURNING id"
    )
    return author, series


def test_names_that_somebody_made_as_well_are_merged(open_rows: Open, ask: Ask) -> None:
    """Ours move to theirs, and go; looked at once."""
    rows = open_rows()
    rows.write(1, [book(rows, n, series="Birds") for n in (1, 2)])
    author, series = make_theirs(ask)
    assert rows.merge_names() == Merged(authors=1, series=1)
    assert ask("SELECT DISTINCT author_id FROM ebook_authors") == [(author,)]
    assert ask("SELECT DISTINCT series_id FROM ebook") == [(series,)]
    assert ask("SELECT id FROM author") == [(author,)]
    assert ask("SELECT id FROM series") == [(series,)]
    wrong = "full_text IS DISTINCT FROM to_tsvector('custom', ebook_full_title(id))"
    assert ask(f"SELECT count(*) FROM ebook WHERE {wrong}") == [(0,)]
    assert rows.merge_names() == Merged()
    [written] = rows.write(2, [book(rows, 3, series="Birds")])
    assert isinstance(written, Written)
    assert written.ids == {("author", "Doe, Jane"): author, ("series", "Birds"): series}


def test_names_that_somebody_uses_stay(open_rows: Open, ask: Ask) -> None:
    """Chosen for a book of theirs meanwhile: our books move all the same."""
    rows = open_rows()
    [one, two] = [book(rows, n, series="Birds") for n in (1, 2)]
    rows.write(1, [one, two])
    author, series = make_theirs(ask)
    ask("UPDATE ebook SET created_by_id = 1 WHERE id = %s", two.drawn.ebook_id)
    assert rows.merge_names() == Merged(kept=2)
    assert ask("SELECT author_id FROM ebook_authors ORDER BY ebook_id") == [
        (author,),
        (1,),
    ]
    assert ask("SELECT series_id FROM ebook ORDER BY id") == [(series,), (1,)]


def upload(ask: Ask, ebook: int, one: Placed) -> None:
    """A person attaches the first of these files to an ebook."""
    digest = one.digests[0]
    ask(
        "INSERT INTO source (version_id, created, modified, ebook_id, location, "
        "format_id, size, hash) VALUES (1, now(), now(), %s, 'x/y.epub', 8, %s, %s)",
        ebook,
        digest.size,
        digest.sha1,
    )


def test_a_file_that_somebody_uploaded_as_well_is_found(
    open_rows: Open, ask: Ask
) -> None:
    """And taken back, unless somebody has touched ours."""
    rows = open_rows()
    plain = book(rows, 1, rating=40, book={"shelves": frozenset({"a"})})
    both = book(rows, 2, formats=("EPUB", "MOBI"))
    rated, edited, single = book(rows, 3), book(rows, 4), book(rows, 5)
    results = rows.write(1, [plain, both, rated, edited, single])
    written = [one for one in results if isinstance(one, Written)]
    assert len(written) == 5
    [theirs] = rows.write(2, [book(rows, 9)])
    assert isinstance(theirs, Written)
    for one in (plain, both, rated, edited):
        upload(ask, theirs.ebook_id, one)
    ask(
        "INSERT INTO ebook_rating (version_id, created, modified, ebook_id, rating, "
        "created_by_id) VALUES (1, now(), now(), %s, 20, 3)",
        rated.drawn.ebook_id,
    )
    ask("UPDATE ebook SET version_id = 9 WHERE id = %s", edited.drawn.ebook_id)
    found = rows.doubled(written)
    assert [one.file.book_id for one in found] == [1, 2, 3, 4]
    assert {one.other for one in found} == {theirs.ebook_id}
    session = rows.session()
    done = [
        doubles.take_back(session, ours, one, 2)
        for one, ours in zip(found, written, strict=False)
    ]
    assert done == [True, True, False, False]
    kept = (rated, edited, single)
    assert ask("SELECT id FROM ebook ORDER BY id") == [
        *((one.drawn.ebook_id,) for one in kept),
        (theirs.ebook_id,),
    ]
    assert ask("SELECT count(*) FROM bookshelf_item") == [(0,)]


def test_what_is_uploaded_at_the_same_moment_stays_once(
    open_rows: Open, ask: Ask
) -> None:
    """Between our look and our commit: ours is refused, and has no rows."""
    rows = open_rows()
    [theirs] = rows.write(1, [book(rows, 9)])
    assert isinstance(theirs, Written)
    one, other = book(rows, 1, formats=("EPUB", "MOBI")), book(rows, 2)
    digest = one.digests[0]
    # As the row is written, theirs comes in: a trigger of the test's that fires once.
    ask(
        "CREATE FUNCTION meanwhile() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN "
        "INSERT INTO source (version_id, created, modified, ebook_id, location, "
        f"format_id, size, hash) SELECT 1, now(), now(), {theirs.ebook_id}, 'x/y.epub', "
        f"8, {digest.size}, '{digest.sha1}' WHERE NEW.id = {one.drawn.ebook_id}; "
        "RETURN NULL; END $$"
    )
    ask(
        "CREATE TRIGGER meanwhile AFTER INSERT ON ebook FOR EACH ROW EXECUTE FUNCTION "
        "meanwhile()"
    )
    results = rows.write(2, [one, other])
    assert why(results) == [
        f"its EPUB was uploaded at the same moment (ebook {theirs.ebook_id})",
        "",
    ]
    assert ask("SELECT id FROM ebook ORDER BY id") == [
        (theirs.ebook_id,),
        (other.drawn.ebook_id,),
    ]
    assert ask("SELECT count(*) FROM source") == [(3,)]


def test_a_librarians_books_are_the_librarians(open_rows: Open, ask: Ask) -> None:
    """Ebook, rating and shelf; the login sees no rating of its own."""
    rows = open_rows(Choice(login=2, owner=3, library=CHOICE.library, public=True))
    one = book(rows, 1, rating=80, book={"shelves": frozenset({"a"})})
    [written] = rows.write(1, [one])
    assert isinstance(written, Written)
    assert written.fields.rating is None
    assert ask("SELECT created_by_id FROM ebook") == [(3,)]
    assert ask("SELECT created_by_id, rating FROM ebook_rating") == [(3, 80.0)]
    assert ask("SELECT created_by_id, public FROM bookshelf") == [(3, True)]


def test_a_session_says_who_it_is(uri: str, ask: Ask) -> None:
    """So that an administrator finds it, and its limits hold."""
    session: DatabaseSession = connect(uri)
    [found] = session.rows(
        "SELECT current_setting('application_name'), current_setting('lock_timeout'), "
        "current_setting('statement_timeout'), current_setting('search_path')"
    )
    assert found == ("calibre-direct", "1s", "1min", "public")
    session.close()
    assert session.broken
