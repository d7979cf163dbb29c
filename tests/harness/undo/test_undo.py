"""`--undo`: what a pass made and nobody touched goes; all else stays byte for byte."""

import json
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from common.files import lock
from migration.ledger import totals
from migration.metadata.shelves import fingerprint
from migration.state_files.names import LEDGER_NAME
from migration.state_files.owner import WorkerLock, lock_path, this_process
from tests.support.environment import PASSWORD, USERNAME
from tests.support.libraries import calibre_edits as calibre
from tests.support.libraries.librarykit import Library, Made, epub, epubs
from tests.support.libraries.undokit import READER, TOUCHES, ids, kept, login
from tests.support.libraries.updatekit import FAST, library_of, picture
from tests.support.migration.workerkit import counts_of
from tests.support.servers.firstuser import seed
from tests.support.servers.inprocess import LocalShelf, LocalWorkers
from tests.support.servers.shelf import Shelf


@pytest.fixture
def shared(tmp_path: Path) -> Iterator[Shelf]:
    """A server with a second user."""
    data_dir = tmp_path / "shared"
    seed(data_dir, USERNAME, PASSWORD, users=(READER,))
    with LocalShelf(data_dir) as server:
        yield server.shelf


def rows(said: str) -> list[dict[str, object]]:
    """What `--json` printed."""
    return [json.loads(line) for line in said.splitlines() if line.startswith("{")]


def test_what_nobody_touched_goes_and_can_be_sent_again(
    tmp_path: Path, shared: Shelf, workers: LocalWorkers
) -> None:
    library = library_of(tmp_path / "library")
    library.add(*epubs(range(2, 6)))
    owner = login(shared)
    older = owner.with_file(epub(99))[0]
    before = kept(owner, older)
    assert workers.run(library.root, shared, **FAST)[0] == 0
    assert len(ids(owner)) == 6
    assert workers.run(library.root, shared, "--undo", "1", **FAST)[0] == 0
    assert ids(owner) == [older]
    assert kept(owner, older) == before
    found = totals.read(workers.state_dir / LEDGER_NAME)
    assert found is not None
    assert (found.pass_id, found.undoes, dict(found.deleted)) == (2, 1, {"ebook": 5})
    assert found.counts.balanced()
    assert totals.proved(workers.state_dir / LEDGER_NAME, 2)
    # Nothing is believed to be there.
    assert workers.run(library.root, shared, **FAST)[0] == 0
    assert counts_of(workers).uploaded == 5
    assert len(ids(owner)) == 6


def test_what_anybody_touched_stays_byte_for_byte(
    tmp_path: Path, shared: Shelf, workers: LocalWorkers
) -> None:
    library = library_of(tmp_path / "library")
    library.add(*epubs(range(2, len(TOUCHES) + 3)))
    assert workers.run(library.root, shared, **FAST)[0] == 0
    owner, other = login(shared), login(shared, READER)
    made = ids(owner)
    touched = dict(zip(TOUCHES, made[1:], strict=False))
    for reason, ebook_id in touched.items():
        TOUCHES[reason](owner, other, ebook_id)
    before = {ebook_id: kept(owner, ebook_id) for ebook_id in touched.values()}
    code, said = workers.run(
        library.root, shared, "--undo", "1", "--dry-run", "--json", **FAST
    )
    assert code == 1
    foretold = {
        row["server_id"]: (row["fate"], row["reason"])
        for row in rows(said)
        if row["kind"] == "ebook"
    }
    # Nobody can see the private shelf of somebody else before the server refuses.
    secret = touched["the server does not delete it"]
    assert foretold == {
        **dict.fromkeys(made, ("goes", None)),
        **{n: ("stays", why) for why, n in touched.items() if n != secret},
    }
    assert sorted(ids(owner)) == made
    code, said = workers.run(library.root, shared, "--undo", "1", "--json", **FAST)
    assert code == 1
    done = {
        row["server_id"]: row["reason"] for row in rows(said) if row["kind"] == "ebook"
    }
    assert {n: why for n, why in done.items() if why} == {
        n: why for why, n in touched.items()
    }
    assert sorted(ids(owner)) == sorted(touched.values())
    assert {number: kept(owner, number) for number in before} == before


def test_a_rating_of_ours_is_given_back_where_the_server_refuses(
    tmp_path: Path, shared: Shelf, workers: LocalWorkers
) -> None:
    library = library_of(tmp_path / "library")
    assert workers.run(library.root, shared, **FAST)[0] == 0
    owner, other = login(shared), login(shared, READER)
    [made] = ids(owner)
    TOUCHES["the server does not delete it"](owner, other, made)
    before = kept(owner, made)
    assert before.record["my_rating"] == 80
    assert workers.run(library.root, shared, "--undo", "1", **FAST)[0] == 1
    after = kept(owner, made)
    assert after == before


def test_a_file_added_to_an_older_ebook_goes_alone(
    tmp_path: Path, shared: Shelf, workers: LocalWorkers
) -> None:
    library = Library(tmp_path / "library")
    library.add(*epubs([1]))
    assert workers.run(library.root, shared, **FAST)[0] == 0
    owner = login(shared)
    [ebook] = ids(owner)
    first = kept(owner, ebook).files
    calibre.add_file(library, 1, b"text " * 40, "TXT")
    assert workers.run(library.root, shared, **FAST)[0] == 0
    assert len(kept(owner, ebook).files) == 2
    # The pass that made the ebook cannot be undone before the one that added to it.
    code, said = workers.run(library.root, shared, "--undo", "1", **FAST)
    assert (code, "pass 2" in said) == (1, True)
    assert workers.run(library.root, shared, "--undo", "2", **FAST)[0] == 0
    assert kept(owner, ebook).files == first
    assert workers.run(library.root, shared, "--undo", "1", **FAST)[0] == 0
    assert ids(owner) == []


def test_an_ebook_in_the_folder_of_somebody_elses_stays(
    tmp_path: Path, shared: Shelf, workers: LocalWorkers
) -> None:
    # Another user moves a copy of the library, in which the files have other bytes: on
    # a MyBookshelf2 both ebooks of a book have one folder, and one picture in it.
    library = library_of(tmp_path / "library")
    assert workers.run(library.root, shared, **FAST)[0] == 0
    copied = shutil.copytree(library.root, tmp_path / "copy")
    with (copied / library.file(1).relative_to(library.root)).open("ab") as file:
        file.write(b"more")
    others = LocalWorkers(tmp_path / "others")
    assert others.run(copied, shared, "--username", READER, **FAST)[0] == 0
    owner = login(shared)
    mine, theirs = ids(owner)
    before = kept(owner, mine), kept(owner, theirs)
    code, said = workers.run(library.root, shared, "--undo", "1", **FAST)
    assert code == 1
    assert f"another ebook has the same folder (ebook {theirs})" in said
    assert (kept(owner, mine), kept(owner, theirs)) == before


def test_the_only_file_of_an_older_ebook_stays(
    tmp_path: Path, shared: Shelf, workers: LocalWorkers
) -> None:
    library = Library(tmp_path / "library")
    library.add(*epubs([1]))
    assert workers.run(library.root, shared, **FAST)[0] == 0
    calibre.replace_file(library, 1, epub(5))
    assert workers.run(library.root, shared, **FAST)[0] == 0
    code, said = workers.run(library.root, shared, "--undo", "2", **FAST)
    assert (code, "its ebook would have no file" in said) == (1, True)
    assert len(ids(login(shared))) == 1


def test_edits_of_older_ebooks_are_not_taken_back(
    tmp_path: Path, shared: Shelf, workers: LocalWorkers
) -> None:
    library = library_of(tmp_path / "library")
    assert workers.run(library.root, shared, **FAST)[0] == 0
    calibre.set_title(library, 1, "Later")
    calibre.set_cover(library, 1, picture("blue"))
    assert workers.run(library.root, shared, **FAST)[0] == 0
    owner = login(shared)
    code, said = workers.run(library.root, shared, "--undo", "2", "--dry-run", **FAST)
    assert (code, "edits of 1 books" in said) == (0, True)
    assert workers.run(library.root, shared, "--undo", "2", **FAST)[0] == 0
    [ebook] = ids(owner)
    assert kept(owner, ebook).record["title"] == "Later"
    # What we changed ourselves since does not keep an ebook.
    assert workers.run(library.root, shared, "--undo", "1", **FAST)[0] == 0
    assert ids(owner) == []


def test_the_same_bytes_of_another_book_are_sent_again(
    tmp_path: Path, shared: Shelf, workers: LocalWorkers
) -> None:
    library = Library(tmp_path / "library")
    library.add(Made(title="One", files={"EPUB": epub(1)}))
    assert workers.run(library.root, shared, **FAST)[0] == 0
    library.add(Made(title="Two", files={"EPUB": epub(1)}))
    assert workers.run(library.root, shared, **FAST)[0] == 0
    assert workers.run(library.root, shared, "--undo", "1", **FAST)[0] == 0
    assert workers.run(library.root, shared, **FAST)[0] == 0
    assert (counts_of(workers).uploaded, counts_of(workers).duplicate) == (1, 1)


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--undo", "7"), "there is no pass 7: the last one is pass 1"),
        (("--undo", "0"), "not the number of a pass"),
        (("--undo", "1", "--verify"), "not with another mode"),
    ],
)
def test_what_cannot_be_undone_is_refused(
    tmp_path: Path,
    shared: Shelf,
    workers: LocalWorkers,
    options: tuple[str, ...],
    says: str,
) -> None:
    library = Library(tmp_path / "library")
    library.add(*epubs([1]))
    assert workers.run(library.root, shared, **FAST)[0] == 0
    code, said = workers.run(library.root, shared, *options, **FAST)
    assert (code, says in said) == (2, True)
    assert len(ids(login(shared))) == 1


def shelved(
    workers: LocalWorkers, shared: Shelf, note: str = "ours"
) -> tuple[int, int]:
    """Puts book 1 on a shelf as pass 1 would; returns the shelf and its ebook."""
    owner = login(shared)
    ebook_id = ids(owner)[0]
    body = {"name": "Adventure", "public": False}
    shelf = owner.call("POST", "/api/bookshelves/mine", body).json()["id"]
    item = {"ebook": {"id": ebook_id}, "note": note}
    owner.call("POST", f"/api/bookshelves/{shelf}/add", item).raise_for_status()
    [one] = owner.call("GET", f"/api/bookshelves/{shelf}/items").json()["items"]
    hashed = fingerprint(note)
    detail = json.dumps({"shelf": shelf, "note": hashed})
    rows: list[tuple[str, tuple[object, ...]]] = [
        ("INSERT INTO shelves VALUES (?, ?)", ("Adventure", shelf)),
        (
            "INSERT INTO shelf_items (book_id, shelf_id, note) VALUES (1, ?, ?)",
            (shelf, hashed),
        ),
        ("INSERT INTO made VALUES ('item', ?, 1, 1, ?)", (one["id"], detail)),
        (
            "INSERT INTO made VALUES ('shelf', ?, 1, 1, ?)",
            (shelf, json.dumps({"name": "Adventure"})),
        ),
    ]
    with closing(sqlite3.connect(workers.state_dir / LEDGER_NAME)) as db, db:
        for statement, values in rows:
            db.execute(statement, values)
    return shelf, ebook_id


def the_role(shared: Shelf, role: str) -> None:
    """Gives the login's user another role."""
    with closing(sqlite3.connect(shared.data_dir / "bookshelf.db")) as db, db:
        db.execute("UPDATE user SET role = ? WHERE user_name = ?", (role, USERNAME))


def test_shelves_and_what_is_on_them(
    tmp_path: Path, shared: Shelf, workers: LocalWorkers
) -> None:
    library = library_of(tmp_path / "library")
    assert workers.run(library.root, shared, **FAST)[0] == 0
    shelf, ebook_id = shelved(workers, shared)
    owner = login(shared)
    # Without the role superuser nobody takes anything off a shelf.
    the_role(shared, "user")
    code, said = workers.run(library.root, shared, "--undo", "1", "--json", **FAST)
    assert code == 1
    assert {
        row["reason"] for row in rows(said) if row["kind"] in ("ebook", "shelf")
    } == {
        "the user lacks the role superuser",
        "the shelf holds something else",
    }
    assert ids(owner) == [ebook_id]
    the_role(shared, "superuser")
    code, said = workers.run(
        library.root, shared, "--undo", "1", "--dry-run", "--json", **FAST
    )
    assert (code, [row["fate"] for row in rows(said) if row["server_id"]]) == (
        0,
        ["goes"] * 4,
    )
    assert workers.run(library.root, shared, "--undo", "1", **FAST)[0] == 0
    assert ids(owner) == []
    assert owner.call("GET", f"/api/bookshelves/{shelf}").status_code == 404


def test_a_note_that_somebody_changed_keeps_ebook_and_shelf(
    tmp_path: Path, shared: Shelf, workers: LocalWorkers
) -> None:
    library = library_of(tmp_path / "library")
    assert workers.run(library.root, shared, **FAST)[0] == 0
    shelf, ebook_id = shelved(workers, shared)
    owner = login(shared)
    [item] = owner.call("GET", f"/api/bookshelves/{shelf}/items").json()["items"]
    body = {"version_id": item["version_id"], "note": "mine"}
    owner.call("PATCH", f"/api/bookshelf-items/{item['id']}", body).raise_for_status()
    before = kept(owner, ebook_id)
    code, said = workers.run(library.root, shared, "--undo", "1", **FAST)
    assert (code, "note on 'Adventure'" in said) == (1, True)
    assert kept(owner, ebook_id) == before
    [item] = owner.call("GET", f"/api/bookshelves/{shelf}/items").json()["items"]
    assert item["note"] == "mine"


def test_a_place_on_a_shelf_goes_from_an_older_ebook(
    tmp_path: Path, shared: Shelf, workers: LocalWorkers
) -> None:
    library = library_of(tmp_path / "library")
    assert workers.run(library.root, shared, **FAST)[0] == 0
    shelf, ebook_id = shelved(workers, shared)
    library.add(*epubs([2]))
    assert workers.run(library.root, shared, **FAST)[0] == 0
    with closing(sqlite3.connect(workers.state_dir / LEDGER_NAME)) as db, db:
        db.execute("UPDATE made SET pass_id = 2 WHERE kind IN ('item', 'shelf')")
    owner = login(shared)
    assert workers.run(library.root, shared, "--undo", "2", **FAST)[0] == 0
    assert ids(owner) == [ebook_id]
    assert owner.call("GET", f"/api/bookshelves/{shelf}").status_code == 404


def test_nothing_is_undone_while_something_runs(
    tmp_path: Path, shared: Shelf, workers: LocalWorkers
) -> None:
    library = Library(tmp_path / "library")
    library.add(*epubs([1]))
    assert workers.run(library.root, shared, **FAST)[0] == 0
    state = workers.state_dir

    def refused() -> str:
        code, said = workers.run(library.root, shared, "--undo", "1", **FAST)
        assert code == 2
        return said

    monitor = lock.take(state / "monitor.pid")
    assert monitor is not None
    assert "a monitor runs on" in refused()
    os.close(monitor)
    worker = WorkerLock(state, this_process(2))
    assert "a worker runs on" in refused()
    worker.release()
    lock_path(state, 2).unlink()
    assert workers.run(library.root, shared, "--open-pass", **FAST)[0] == 0
    assert "pass 2 is open: let it end first" in refused()
    assert len(ids(login(shared))) == 1


def test_a_pass_of_an_earlier_version_recorded_nothing(
    tmp_path: Path, shared: Shelf, workers: LocalWorkers
) -> None:
    library = Library(tmp_path / "library")
    library.add(*epubs([1]))
    assert workers.run(library.root, shared, **FAST)[0] == 0
    with closing(sqlite3.connect(workers.state_dir / LEDGER_NAME)) as db, db:
        db.execute("DELETE FROM made")
    code, said = workers.run(library.root, shared, "--undo", "1", **FAST)
    assert (code, "by an earlier version" in said) == (2, True)


def test_an_undone_pass_can_be_undone_again_and_the_undo_cannot(
    tmp_path: Path, shared: Shelf, workers: LocalWorkers
) -> None:
    library = Library(tmp_path / "library")
    library.add(*epubs([1]))
    assert workers.run(library.root, shared, **FAST)[0] == 0
    for _ in range(2):
        assert workers.run(library.root, shared, "--undo", "1", **FAST)[0] == 0
    code, said = workers.run(library.root, shared, "--undo", "2", **FAST)
    assert (code, "pass 2 undid pass 1" in said) == (2, True)


def test_the_shelves_of_a_pass(
    tmp_path: Path, shared: Shelf, workers: LocalWorkers
) -> None:
    """Tags become shelves; those that a person fills stay, with what is on them."""
    library = Library(tmp_path / "library")
    library.add(
        Made(title="One", files={"EPUB": epub(1)}, tags=("Sea", "Fog")),
        Made(title="Two", files={"EPUB": epub(2)}, tags=("Sea",)),
    )
    owner = login(shared)
    older = owner.with_file(epub(99))[0]
    assert workers.run(library.root, shared, **FAST)[0] == 0
    mine = owner.call("GET", "/api/bookshelves/mine").json()["items"]
    named = {one["name"]: one["id"] for one in mine}
    assert named.keys() == {"Sea", "Fog"}
    item = {"ebook": {"id": older}}
    owner.call("POST", f"/api/bookshelves/{named['Fog']}/add", item).raise_for_status()
    code, said = workers.run(
        library.root, shared, "--undo", "1", "--dry-run", "--json", **FAST
    )
    assert code == 1
    stay = [row["name"] for row in rows(said) if row["reason"] and row["server_id"]]
    assert stay == ["Fog"]
    assert workers.run(library.root, shared, "--undo", "1", **FAST)[0] == 1
    assert ids(owner) == [older]
    mine = owner.call("GET", "/api/bookshelves/mine").json()["items"]
    assert [(one["name"], one["items_count"]) for one in mine] == [("Fog", 1)]
    # A later run makes them again, and uses the one that stayed.
    assert workers.run(library.root, shared, **FAST)[0] == 0
    mine = owner.call("GET", "/api/bookshelves/mine").json()["items"]
    assert {one["name"]: one["items_count"] for one in mine} == {"Fog": 2, "Sea": 2}
