"""The embedded server and its data directory: rights, what a killed server leaves, a
database that goes away."""

import os
import signal
import sqlite3
import stat
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
import websocket

from tests.support.environment import end
from tests.support.libraries.librarykit import Library, Made
from tests.support.libraries.truth import look, troubles
from tests.support.migration.workerkit import wait_for
from tests.support.migration.workers import Workers
from tests.support.servers.datadirkit import copied_over, put
from tests.support.servers.shelf import Shelf
from tests.support.servers.shelfkit import client, epub, jpeg

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
    said: list[str] = []

    def told() -> bool:
        said.append(capfd.readouterr().err)
        return "every answer is 503" in "".join(said)

    wait_for(told, 20)
    assert (
        "bookshelf.db was deleted (No such file or directory) while the server was running"
        in "".join(said)
    )


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
