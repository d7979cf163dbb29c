"""Networks that lie, workers that freeze, disks that fill: everything arrives, nothing
twice."""

import hashlib
import json
import os
from pathlib import Path

from migration.ledger import totals
from migration.model import Counts
from tests.support.libraries.librarykit import Library, epubs, library_of
from tests.support.libraries.truth import look, troubles
from tests.support.migration.workerkit import FAST, lines_of
from tests.support.servers.inprocess import LocalWorkers
from tests.support.servers.shelf import Shelf


def test_a_read_only_state_directory_is_named(tmp_path: Path, shelf: Shelf) -> None:
    """Status 5, before anything is sent."""
    library, _contents = library_of(tmp_path, 1)
    (tmp_path / "file").write_text("x")
    state = LocalWorkers(tmp_path / "file" / "state")
    code, said = state.run(library.root, shelf)
    assert (code, "cannot make" in said) == (5, True), said


# -- verify, recheck, map --------------------------------------------------------------


def test_verify_compares_every_file_and_recheck_sends_what_is_gone(
    tmp_path: Path, shelf: Shelf, workers: LocalWorkers
) -> None:
    """`=`, `-`, `!`; JSON; status 1 when anything is missing; after --recheck and a run
    all is there again."""
    library, contents = library_of(tmp_path, 4)
    assert workers.run(library.root, shelf, **FAST)[0] == 0
    code, said = workers.run(library.root, shelf, "--verify")
    assert code == 0
    assert [line for line in said.splitlines() if line[:2] == "= "] == [
        f"= {book}/{kind}" for book in range(1, 5) for kind in ("EPUB", "TXT")
    ]
    with shelf.session() as session:
        gone = session.get(
            f"{shelf.url}/api/search/%D0%9A%D0%BD%D0%B8%D0%B3%D0%B0%202", timeout=20
        ).json()["items"][0]["id"]
        ebook = session.get(f"{shelf.url}/api/ebooks/{gone}", timeout=20).json()
        for source in ebook["sources"]:
            session.delete(f"{shelf.url}/api/sources/{source['id']}", timeout=20)
    library.file(1).unlink()
    code, said = workers.run(library.root, shelf, "--recheck", "--json")
    assert code == 1, said
    marks = {
        (row["book_id"], row["format"]): row["mark"]
        for row in map(json.loads, _json_lines(said))
    }
    assert [key for key, mark in marks.items() if mark == "-"] == [
        (3, "EPUB"),
        (3, "TXT"),
    ]
    assert marks[1, "EPUB"] == "!"
    library.file(1).write_bytes(contents[0])
    code, said = workers.run(library.root, shelf, **FAST)
    assert code == 0, said
    assert troubles(look(shelf.data_dir), contents) == []
    assert look(shelf.data_dir).ebooks == 4


def _json_lines(said: str) -> list[str]:
    return [line for line in said.splitlines() if line.startswith("{")]


def test_the_map_names_every_file_on_the_server(
    tmp_path: Path, shelf: Shelf, workers: LocalWorkers
) -> None:
    """Calibre id, format, sha1, ebook id, source id; and the ledger was backed up when
    the pass was closed."""
    library, contents = library_of(tmp_path, 2)
    assert workers.run(library.root, shelf, **FAST)[0] == 0
    target = tmp_path / "map.csv"
    code, said = workers.run(library.root, shelf, "--export-map", str(target))
    assert (code, "4 files written" in said) == (0, True), said
    rows = [line.split(",") for line in target.read_text("utf-8").splitlines()]
    assert rows[0] == ["calibre_id", "format", "sha1", "ebook_id", "source_id"]
    assert {row[2] for row in rows[1:]} == {
        hashlib.sha1(data).hexdigest() for data in contents
    }
    with shelf.session() as session:
        for book, kind, sha1, ebook, source in rows[1:]:
            shown = session.get(f"{shelf.url}/api/ebooks/{ebook}", timeout=20).json()
            assert shown["title"] == f"Книга {int(book) - 1}"
            assert int(source) in [entry["id"] for entry in shown["sources"]]
            data = session.get(f"{shelf.url}/api/download/{source}", timeout=20).content
            assert hashlib.sha1(data).hexdigest() == sha1
            assert kind in ("EPUB", "TXT")
    backup = totals.read(workers.state_dir / "migration_ledger.backup.db")
    assert backup is not None
    assert backup.counts == Counts(discovered=4, uploaded=4)
    assert any("proved row by row" in line for line in lines_of(workers))


def test_a_library_with_every_kind_of_damage_is_migrated_as_far_as_it_goes(
    tmp_path: Path, shelf: Shelf, workers: LocalWorkers
) -> None:
    """Each bad file fails with its reason, each bad row is cleaned, nothing from
    outside is sent, the rest arrives."""
    library = Library(tmp_path / "library")
    library.add(*epubs(range(12)))
    library.file(1).unlink()
    library.file(2).write_bytes(b"")
    library.file(3).unlink()
    library.file(3).mkdir()
    library.file(4).unlink()
    os.mkfifo(library.file(4))
    library.file(5).unlink()
    library.file(5).symlink_to("/etc/passwd")
    library.file(6).rename(library.file(6).with_name("FILE.EPUB"))
    library.sql("DROP TRIGGER books_update_trg")
    library.sql("UPDATE books SET path = '/etc' WHERE id = 7")
    library.sql("UPDATE data SET name = 'passwd', format = 'TXT' WHERE book = 7")
    library.sql("UPDATE books SET path = '../../../../../../etc' WHERE id = 8")
    library.sql("UPDATE data SET name = 'hostname', format = 'TXT' WHERE book = 8")
    library.sql(
        "UPDATE books SET title = CAST(x'ff00' AS TEXT), series_index = 9e999 WHERE id = 9"
    )
    library.sql("UPDATE books SET title = ? WHERE id = 10", ("x" * 100_000,))
    library.sql("DELETE FROM books_authors_link WHERE book = 11")
    library.sql("UPDATE data SET format = 'EPUB/../..' WHERE book = 12")
    code, said = workers.run(library.root, shelf, **FAST)
    assert code == 1, said
    found = totals.read(workers.state_dir / "migration_ledger.db")
    assert found is not None
    assert dict(found.failed) == {
        "missing": 1,
        "empty": 1,
        "not a regular file": 3,
        "outside the library": 3,
    }
    assert found.counts == Counts(12, 4, 0, 0, 8, 0)
    truth = look(shelf.data_dir)
    assert (
        hashlib.sha1(Path("/etc/passwd").read_bytes()).hexdigest() not in truth.hashes
    )
    assert (truth.ebooks, truth.working_titles, truth.wrong_bytes) == (4, 0, 0)
    with shelf.session() as session:
        titles = sorted(
            item["title"]
            for item in session.get(f"{shelf.url}/api/ebooks", timeout=20).json()[
                "items"
            ]
        )
    assert titles == ["Book 10", "Book 5", "x" * 256, "\ufffd"]
