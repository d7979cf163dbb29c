"""The embedded server and its data directory: rights, what a killed server leaves, a
database that goes away."""

import asyncio
import hashlib
import os
import shutil
import signal
import sqlite3
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import websocket

from bookshelf.storage.database import Database
from bookshelf.storage.file_watch import DatabaseGone
from bookshelf.storage.files import FileStore
from bookshelf.storage.housekeeping import (
    LEFT_BEHIND_AT_MOST,
    sweep_books,
    sweep_uploads,
)
from tests.conftest import Shelf, Workers, end
from tests.support.librarykit import Library, Made
from tests.support.shelfkit import client, epub, jpeg
from tests.support.truth import look, troubles

pytestmark = pytest.mark.integration


# -- rights ----------------------------------------------------------------------------


@contextmanager
def umask(mask: int) -> Iterator[None]:
    """What is started here inherits it."""
    before = os.umask(mask)
    try:
        yield
    finally:
        os.umask(before)


def readable_by_others(folder: Path) -> list[str]:
    """Whatever is neither 0700 nor 0600."""
    return [
        f"{path.name} {stat.S_IMODE(path.stat().st_mode):o}"
        for path in (folder, *folder.rglob("*"))
        if stat.S_IMODE(path.stat().st_mode) != (0o700 if path.is_dir() else 0o600)
    ]


def test_nothing_in_the_data_directory_is_anybody_elses(
    tmp_path: Path, shelves: Callable[..., Shelf], capfd: pytest.CaptureFixture[str]
) -> None:
    """Whatever the umask: database, uploads, books, covers, secrets. What is looser is
    made so at the next start."""
    data_dir = tmp_path / "shelf"
    with umask(0):
        shelf = shelves(data_dir)
    server = client(shelf)
    ebook_id, _source = server.with_file(epub(), title="Private")
    server.upload(epub())
    sent = server.call(
        "POST",
        "/api/upload-cover",
        files={"file": ("c.jpg", jpeg("blue"), "image/jpeg")},
    ).json()
    assert server.task("cover", sent["file"], ebook_id)["status"] == "success"
    assert server.call("GET", f"/thumb/{ebook_id}").status_code == 200
    server.http.close()
    assert (data_dir / "bookshelf.db-wal").is_file()
    assert readable_by_others(data_dir) == []
    end(shelf.process)
    for path in (data_dir, *data_dir.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
    foreign = data_dir / "notes.txt"
    foreign.write_text("not the server's")
    foreign.chmod(0o644)
    shelves(data_dir)
    assert readable_by_others(data_dir) == ["notes.txt 644"]
    assert "took their rights on" in capfd.readouterr().err


# -- what is left of a killed server ---------------------------------------------------


def put(data_dir: Path, data: bytes, extension: str = "epub") -> Path:
    """A book file without a row."""
    sha1 = hashlib.sha1(data).hexdigest()
    path = data_dir / "books" / sha1[:2] / f"{sha1}.{extension}"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)
    return path


def test_what_a_killed_server_left_is_removed_at_the_next_start(
    tmp_path: Path, shelves: Callable[..., Shelf], capfd: pytest.CaptureFixture[str]
) -> None:
    """A book's file without a row, an upload that never arrived; nothing that is in
    use, or may be somebody else's."""
    data_dir = tmp_path / "shelf"
    shelf = shelves(data_dir)
    server = client(shelf)
    _ebook, kept = server.with_file(data := epub(), title="Kept")
    _ebook, lost = server.with_file(missing := epub(), title="Lost")
    upload = server.extracted(waiting := epub(), {"title": "Waiting"})
    server.http.close()
    assert shelf.process is not None
    os.kill(shelf.process.pid, signal.SIGKILL)
    shelf.process.wait(10)
    orphan = put(data_dir, b"left behind")
    strangers = [
        put(data_dir, b"a stranger", "xyz"),
        orphan.with_name("readme.txt"),
        orphan.with_name(orphan.name + "~"),
    ]
    for path in strangers[1:]:
        path.write_text("x")
    link = orphan.with_name(f"{orphan.name[:2]}{'0' * 38}.epub")
    link.symlink_to(strangers[0])
    put(data_dir, missing).unlink()
    arriving = data_dir / "uploads" / "tmp00000000"
    arriving.mkdir()
    (arriving / ".arriving").write_bytes(b"half")
    again = client(shelves(data_dir))
    assert [path.exists() for path in (orphan, arriving, *strangers, link)] == [
        False,
        False,
        True,
        True,
        True,
        True,
    ]
    assert again.call("GET", f"/api/download/{kept}").content == data
    ebook_id = again.ebook(title="Waiting")
    assert (
        "id"
        in again.call(
            "POST", f"/api/ebooks/{ebook_id}/add-upload", {"upload_id": upload["id"]}
        ).json()
    )
    assert again.check(waiting) == {"error": "file already exists"}
    again.http.close()
    said = capfd.readouterr().err
    assert f"removed 1 files from {data_dir / 'books'}" in said
    assert f"1 files are listed but not there, as sources {lost}:" in said


@pytest.mark.parametrize(
    ("files", "new", "left"),
    [(3, False, 0), (LEFT_BEHIND_AT_MOST + 1, False, None), (3, True, None)],
)
def test_a_database_that_fits_its_files_no_more_costs_no_file(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    files: int,
    new: bool,
    left: int | None,
) -> None:
    """An older or an empty database: nothing is removed, and that is said."""
    there = [put(tmp_path, f"book {number}".encode()) for number in range(files)]
    database = Database(tmp_path / "bookshelf.db", permissive=False)
    assert database.new
    database.look(lambda db: sweep_books(db, FileStore(tmp_path), new=new))
    assert len([path for path in there if path.exists()]) == (
        files if left is None else left
    )
    assert ("nothing is removed" in caplog.text) == (left is None)
    close(database)


def close(database: Database) -> None:
    """Closes a database that no event loop uses."""
    asyncio.run(database.close())


def test_uploads_of_others_and_of_today_stay(tmp_path: Path) -> None:
    """Only folders named as this server names them, old or unfinished."""
    files = FileStore(tmp_path)
    names = {
        "tmp11111111": "x.epub",
        "tmp22222222": "x.epub",
        "tmp33333333": ".arriving",
        "others": "x.epub",
        "tmp4": ".x",
    }
    for name, file in names.items():
        (files.uploads / name).mkdir()
        (files.uploads / name / file).write_text("x")
    for name in ("tmp22222222", "others"):
        os.utime(files.uploads / name, (1, 1))
    assert sweep_uploads(files) == 2
    assert sorted(path.name for path in files.uploads.iterdir()) == [
        "others",
        "tmp11111111",
        "tmp4",
    ]


# -- a database that goes away ---------------------------------------------------------


def other_database(data_dir: Path) -> Path:
    """A healthy one, not in use."""
    path = data_dir.parent / "other.db"
    with closing(sqlite3.connect(path)) as db:
        db.execute("CREATE TABLE genre (id INTEGER PRIMARY KEY, name TEXT)")
    return path


def deleted(data_dir: Path) -> None:
    """With what is beside it."""
    for path in data_dir.glob("bookshelf.db*"):
        path.unlink()


def copied_over(data_dir: Path) -> None:
    """A backup is copied into the file, as `cp` does it."""
    shutil.copyfile(other_database(data_dir), data_dir / "bookshelf.db")


TAKEN_AWAY: dict[str, Callable[[Path], object]] = {
    "deleted": deleted,
    "replaced": lambda data_dir: other_database(data_dir).replace(
        data_dir / "bookshelf.db"
    ),
    "overwritten": copied_over,
    "emptied": lambda data_dir: os.truncate(data_dir / "bookshelf.db", 0),
    "log moved": lambda data_dir: (data_dir / "bookshelf.db-wal").rename(
        data_dir / "old"
    ),
    "directory moved": lambda data_dir: data_dir.rename(
        data_dir.with_name("elsewhere")
    ),
}


@pytest.mark.parametrize("how", TAKEN_AWAY)
def test_a_database_that_goes_away_is_noticed(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, how: str
) -> None:
    """Before the next answer and the next write; it is said once, with what to do."""
    data_dir = tmp_path / "shelf"
    data_dir.mkdir()

    async def use() -> None:
        database = Database(data_dir / "bookshelf.db", permissive=False)
        await database.write(
            lambda db: db.execute("INSERT INTO genre (name) VALUES ('x')")
        )
        database.check()
        TAKEN_AWAY[how](data_dir)
        for _ in range(2):
            with pytest.raises(DatabaseGone):
                database.check()
            with pytest.raises(DatabaseGone):
                await database.write(
                    lambda db: db.execute("INSERT INTO genre (name) VALUES ('y')")
                )
        await database.close()

    asyncio.run(use())
    assert (
        caplog.text.count(
            "while the server was running: every answer is 503 from now on"
        )
        == 1
    )
    assert "run the migration with --recheck" in caplog.text


def test_a_server_without_its_database_answers_503_to_everything(
    tmp_path: Path, shelves: Callable[..., Shelf]
) -> None:
    """Whatever was asked; and it ends, with status 5, without writing its own log into
    what stands there now."""
    shelf = shelves(tmp_path / "shelf")
    server = client(shelf)
    server.with_file(epub(), title="Before")
    waiting = server.socket()
    copied_over(shelf.data_dir)
    restored = (shelf.data_dir / "bookshelf.db").read_bytes()
    for method, path, body in (
        ("POST", "/api/ebooks", {"title": "After", "language": {"id": 2}}),
        ("GET", "/api/ebooks", None),
        ("POST", "/api/upload/check", {}),
        ("GET", "/", None),
        ("POST", "/login", {}),
        ("GET", "/ws", None),
    ):
        answer = server.call(method, path, body)
        assert answer.status_code == 503
        assert "deleted or replaced" in answer.json()["error"]
        assert answer.headers["Server"] == "bookshelf"
    # Whoever waited for a task is not left waiting.
    waiting.settimeout(10)
    with pytest.raises((websocket.WebSocketConnectionClosedException, ConnectionError)):
        while waiting.recv():
            pass
        raise ConnectionError("closed in an orderly way")
    waiting.shutdown()  # type: ignore[no-untyped-call]
    server.http.close()
    assert shelf.process is not None
    shelf.process.terminate()
    assert shelf.process.wait(15) == 5
    assert (shelf.data_dir / "bookshelf.db").read_bytes() == restored


def test_it_is_noticed_while_nobody_asks(
    tmp_path: Path, shelves: Callable[..., Shelf], capfd: pytest.CaptureFixture[str]
) -> None:
    """Within a second or two."""
    shelf = shelves(tmp_path / "shelf")
    (shelf.data_dir / "bookshelf.db").unlink()
    deadline, said = time.monotonic() + 20, ""
    while "every answer is 503" not in said and time.monotonic() < deadline:
        time.sleep(0.05)
        said += capfd.readouterr().err
    assert (
        "bookshelf.db was deleted (No such file or directory) while the server was running"
        in said
    )


def test_what_the_server_itself_writes_is_no_alarm(tmp_path: Path) -> None:
    """The log is written back into the database from time to time, which changes its
    header; others may read it."""

    def write(number: int) -> Callable[[sqlite3.Connection], object]:
        name = f"{number}" + "x" * 100_000
        return lambda db: db.execute("INSERT INTO genre (name) VALUES (?)", (name,))

    async def use() -> int:
        database = Database(tmp_path / "x.db", permissive=False)
        headers = set()
        for number in range(60):
            await database.write(write(number))
            database.check()
            headers.add((tmp_path / "x.db").read_bytes()[:100])
            with closing(sqlite3.connect(tmp_path / "x.db")) as other:
                other.execute("SELECT COUNT(*) FROM genre").fetchone()
        database.check()
        await database.close()
        return len(headers)

    assert asyncio.run(use()) > 1


def test_a_write_into_a_deleted_database_is_not_acknowledged(tmp_path: Path) -> None:
    """Also when it goes away between the question and the disk."""

    async def use() -> None:
        database = Database(tmp_path / "x.db", permissive=False)

        def work(db: sqlite3.Connection) -> None:
            db.execute("INSERT INTO genre (name) VALUES ('x')")
            (tmp_path / "x.db").unlink()

        with pytest.raises(DatabaseGone):
            await database.write(work)
        assert database.gone
        with pytest.raises(DatabaseGone):
            await database.write(lambda db: db.execute("SELECT 1"))
        await database.close()

    asyncio.run(use())


# -- another database under the same address -------------------------------------------


def test_authors_of_another_database_are_asked_for_by_name(
    tmp_path: Path, shelves: Callable[..., Shelf], workers: Workers
) -> None:
    """The ledger knows an author's id that this database never gave out: the next book
    arrives all the same."""
    library = Library(tmp_path / "library")
    library.add(Made(title="First", files={"TXT": b"first"}))
    shelf = shelves(tmp_path / "shelf")
    assert workers.run(library.root, shelf)[0] == 0
    end(shelf.process)
    with closing(sqlite3.connect(shelf.data_dir / "bookshelf.db")) as db, db:
        db.execute("UPDATE ebook_authors SET author_id = 900")
        db.execute("UPDATE author SET id = 900")
    again = shelves(tmp_path / "shelf", port=int(shelf.url.rpartition(":")[2]))
    library.add(Made(title="Second", files={"TXT": b"second"}))
    code, said = workers.run(
        library.root, again, RETRY_FIRST_SECONDS="0.05", RECONCILE_AFTER_SECONDS="1"
    )
    assert code == 0, said
    assert troubles(look(again.data_dir), [b"first", b"second"]) == []
