"""A server that has lost what it had: restored from a backup, or another one at the old
address."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.environment import end
from tests.support.libraries.librarykit import Library, Made, epub
from tests.support.libraries.truth import look, troubles
from tests.support.migration.workerkit import FAST
from tests.support.migration.workers import Workers
from tests.support.network.proxy import Do, Proxy, Script
from tests.support.servers.shelf import Shelf

pytestmark = pytest.mark.integration
Shelves = Callable[..., Shelf]


def add(library: Library, numbers: range) -> list[bytes]:
    """Books with two formats each; returns all their bytes."""
    contents = []
    for number in numbers:
        files = {"EPUB": epub(number), "TXT": f"text {number}".encode() * 30}
        library.add(
            Made(
                title=f"Book {number}",
                files=files,
                authors=((f"Writer {number}", f"{number}, Writer"),),
            )
        )
        contents += list(files.values())
    return contents


def port_of(shelf: Shelf) -> int:
    """Where it listens."""
    return int(shelf.url.rpartition(":")[2])


def test_a_restored_backup_gets_again_what_it_lost(
    tmp_path: Path, shelves: Shelves, workers: Workers
) -> None:
    """Through a server that fails meanwhile; what it still has is not sent, and the
    next pass asks a few questions."""
    library = Library(tmp_path / "library")
    contents = add(library, range(4))
    first = shelves(tmp_path / "shelf")
    proxy = Proxy(first.url, lambda _method, _path: Do.PASS)
    server = Shelf(proxy.url, first.data_dir, None)
    try:
        assert workers.run(library.root, server, **FAST)[0] == 0
        end(first.process)
        shutil.copytree(first.data_dir, tmp_path / "backup")
        second = shelves(first.data_dir, port=port_of(first))
        contents += add(library, range(4, 8))
        assert workers.run(library.root, server, **FAST)[0] == 0
        end(second.process)
        shutil.rmtree(first.data_dir)
        shutil.copytree(tmp_path / "backup", first.data_dir)
        shelves(first.data_dir, port=port_of(first))
        proxy.decide = Script("POST", "/api/upload/check", Do.RESET, 12)
        code, said = workers.run(library.root, server, **FAST)
        assert code == 0, said
        assert "The server has lost files" in said
        assert "8 files that the server had lost were sent to it again" in said
        assert troubles(look(first.data_dir), contents) == []
        asked = Script("POST", "/api/upload/check", Do.PASS, 1000)
        proxy.decide = asked
        code, said = workers.run(library.root, server, **FAST)
        assert (code, "The server has lost files" in said) == (0, False)
        assert 0 < asked.done <= 20
    finally:
        proxy.stop()


def test_a_new_server_at_the_old_address_keeps_its_own_ebooks(
    tmp_path: Path, shelves: Shelves, workers: Workers
) -> None:
    """Its ebooks and authors have the numbers of those that were lost: they stay as
    they are."""
    library, other = Library(tmp_path / "library"), Library(tmp_path / "other")
    contents = add(library, range(5))
    first = shelves(tmp_path / "first")
    assert workers.run(library.root, first, **FAST)[0] == 0
    end(first.process)
    contents += add(other, range(50, 56))
    second = shelves(tmp_path / "second", port=port_of(first))
    assert Workers(tmp_path / "other state").run(other.root, second, **FAST)[0] == 0
    # A further format of a book whose ebook is somebody else's there.
    more = b"more " * 30
    library.file(2, "PDF").write_bytes(more)
    library.sql(
        "INSERT INTO data (book, format, uncompressed_size, name) VALUES (2, 'PDF', 9, 'file')"
    )
    code, said = workers.run(library.root, second, **FAST)
    assert code == 0, said
    assert troubles(look(second.data_dir), [*contents, more]) == []
    with second.session() as session:
        found = session.get(
            f"{second.url}/api/ebooks?page_size=100", timeout=20
        ).json()["items"]
    assert sorted(
        (ebook["title"], ebook["authors"][0]["last_name"]) for ebook in found
    ) == sorted(
        (f"Book {number}", str(number)) for number in (*range(5), *range(50, 56))
    )


def test_a_database_lost_in_the_middle_of_a_pass_is_noticed_by_the_next_worker(
    tmp_path: Path, shelves: Shelves, workers: Workers
) -> None:
    """What the pass itself has sent and closed before is sent again."""
    library = Library(tmp_path / "library")
    contents = add(library, range(6))
    first = shelves(tmp_path / "first")
    code, said = workers.run(
        library.root, first, "--limit", "5", BATCH_SIZE="2", **FAST
    )
    assert code == 0, said
    end(first.process)
    second = shelves(tmp_path / "second", port=port_of(first))
    code, said = workers.run(library.root, second, BATCH_SIZE="2", **FAST)
    assert code == 0, said
    assert "The server has lost files" in said
    assert "5 files that the server had lost were sent to it again" in said
    assert troubles(look(second.data_dir), contents) == []
