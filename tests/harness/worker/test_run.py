"""The cases of the 2025-11-26 seed: no stale duplicate check, sanitising, retries,
connectivity, performance lines."""

import json
import re
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from migration.ledger import totals
from migration.model import Counts
from migration.state_files import logs
from tests.support.libraries.librarykit import Library, Made, epub, epubs
from tests.support.migration.workerkit import counts_of, lines_of
from tests.support.servers.inprocess import LocalWorkers
from tests.support.servers.shelf import Shelf


def test_a_file_that_somebody_else_uploaded_is_a_duplicate(
    tmp_path: Path, shelf: Shelf
) -> None:
    """What the server has from elsewhere is found by asking it, not sent."""
    library = Library(tmp_path / "library")
    library.add(*epubs(range(5)))
    first, second = LocalWorkers(tmp_path / "first"), LocalWorkers(tmp_path / "second")
    assert first.run(library.root, shelf)[0] == 0
    assert second.run(library.root, shelf)[0] == 0
    assert counts_of(second) == Counts(discovered=5, duplicate=5)


def test_hostile_names_arrive_clean_and_never_break_a_line(
    tmp_path: Path, shelf: Shelf, workers: LocalWorkers
) -> None:
    """NUL, controls, bidi overrides and invalid UTF-8 in any text are gone on the
    server, in the log, everywhere."""
    library = Library(tmp_path / "library")
    bad = "Ti\x00tle\n2026-01-01 00:00:00,000 - ERROR - forged \u202egpj"
    library.add(
        Made(
            title=bad,
            authors=((bad, bad),),
            series=bad,
            tags=(bad,),
            files={"EPUB": epub(1)},
        )
    )
    library.add(Made(title="x", files={"EPUB": epub(2)}))
    library.sql("DROP TRIGGER books_update_trg")
    library.sql("UPDATE books SET title = CAST(x'41ff42' AS TEXT) WHERE id = 2")
    code, said = workers.run(library.root, shelf)
    assert code == 0, said
    with shelf.session() as session:
        titles = {
            item["title"]
            for item in session.get(f"{shelf.url}/api/ebooks", timeout=20).json()[
                "items"
            ]
        }
    assert titles == {"Title 2026-01-01 00:00:00,000 - ERROR - forged gpj", "A\ufffdB"}
    for path in workers.state_dir.glob("migration_*"):
        if path.suffix in (".log", ".json"):
            assert not re.search(
                "[\x00-\x09\x0b-\x1f\u202e]", path.read_text("utf-8")
            ), path
    assert not [line for line in lines_of(workers) if line.startswith("forged")]


def test_connectivity_is_checked_at_start_and_logged(
    tmp_path: Path, shelf: Shelf, workers: LocalWorkers
) -> None:
    """`API connectivity: OK` is the first thing a worker finds out."""
    library = Library(tmp_path / "library")
    assert workers.run(library.root, shelf)[0] == 0
    assert f"API connectivity: OK ({shelf.url})" in lines_of(workers)
    assert any(line.startswith("Hash refresh: ") for line in lines_of(workers))


def test_a_server_that_never_answers_ends_with_status_3(
    tmp_path: Path, workers: LocalWorkers
) -> None:
    """Nothing listens: FAILED is logged, and the worker gives up after its time with a
    sentence."""
    library = Library(tmp_path / "library")
    nowhere = Shelf("http://127.0.0.1:9", tmp_path, None)
    code, said = workers.run(
        library.root, nowhere, START_SECONDS="1", RETRY_FIRST_SECONDS="0.2"
    )
    assert code == 3, said
    assert any(
        line.startswith("API connectivity: FAILED") for line in lines_of(workers)
    )
    assert "is it running, and is --server right?" in said


def test_a_wrong_password_ends_with_status_3(
    tmp_path: Path, shelf: Shelf, workers: LocalWorkers
) -> None:
    """HTTP 200 with an error is not a login."""
    library = Library(tmp_path / "library")
    wrong = Shelf(shelf.url, shelf.data_dir, shelf.process, password="not this one")
    code, said = workers.run(library.root, wrong)
    assert code == 3
    assert "refused the login" in said
    assert "not this one" not in said


def test_the_average_rate_is_logged_after_every_hundred_uploads(
    tmp_path: Path, shelf: Shelf, workers: LocalWorkers
) -> None:
    """`Average upload rate: X files/min`, twice for 200 uploads."""
    library = Library(tmp_path / "library")
    library.add(*epubs(range(200)))
    assert workers.run(library.root, shelf)[0] == 0
    assert (
        sum(logs.AVERAGE_RATE.fullmatch(line) is not None for line in lines_of(workers))
        == 2
    )


def test_hashes_are_refreshed_after_a_thousand_files(
    tmp_path: Path, shelf: Shelf, workers: LocalWorkers
) -> None:
    """1,100 files settled at once: a refresh at start and one after the thousandth
    file."""
    library = Library(tmp_path / "library")
    library.add(
        *(
            Made(title=f"Same {number}", files={"EPUB": epub(1)})
            for number in range(1100)
        )
    )
    assert workers.run(library.root, shelf)[0] == 0
    assert (
        sum(logs.HASH_REFRESH.fullmatch(line) is not None for line in lines_of(workers))
        >= 2
    )


def test_an_expired_token_is_renewed_also_behind_a_broken_pipe(
    tmp_path: Path, workers: LocalWorkers
) -> None:
    """A server that answers the first upload with 401 and closes without reading:
    logged in again, sent again."""
    library = Library(tmp_path / "library")
    library.add(Made(files={"EPUB": epub(1, padding=6_000_000)}))
    server = ForgetfulServer()
    try:
        code, said = workers.run(
            library.root,
            Shelf(server.url, tmp_path, None),
            RETRY_FIRST_SECONDS="0.05",
        )
    finally:
        server.stop()
    assert server.logins == 2, said
    assert server.uploads == 2
    # The upload was then refused by this little server, which is all it can do.
    assert code == 1, said


def test_a_file_over_the_limit_is_refused_before_a_byte_is_sent(
    tmp_path: Path, shelf: Shelf, workers: LocalWorkers
) -> None:
    """The server's limit counts the whole body, so the worker stays below it by the
    framing."""
    library = Library(tmp_path / "library")
    library.add(
        Made(files={"EPUB": epub(1, padding=200_000)}), Made(files={"EPUB": epub(2)})
    )
    code, said = workers.run(library.root, shelf, MAX_CONTENT_LENGTH="150000")
    assert code == 1, said
    found = totals.read(workers.state_dir / "migration_ledger.db")
    assert found is not None
    assert (found.counts, dict(found.failed)) == (
        Counts(2, 1, 0, 0, 1, 0),
        {"too big": 1},
    )


class ForgetfulServer:
    """Knows login, languages, genres and check; answers the first upload with 401
    without reading its body."""

    def __init__(self) -> None:
        self.logins = self.uploads = 0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                if self.path.startswith("/api/ebooks?"):
                    self.answer(
                        200, {"page": 1, "page_size": 1, "total": 0, "items": []}
                    )
                    return
                name = (
                    "code" if urlsplit(self.path).path == "/api/languages" else "name"
                )
                self.answer(200, [{"id": 1, name: "en"}])

            def do_POST(self) -> None:
                if self.path == "/api/upload":
                    outer.uploads += 1
                    self.close_connection = True
                    if outer.uploads == 1:
                        self.answer(401, {"message": "Access denied"})
                        return
                    self.rfile.read(int(self.headers["Content-Length"]))
                    self.answer(200, {"error": "unsupported file type"})
                    return
                self.rfile.read(int(self.headers["Content-Length"]))
                if self.path == "/login":
                    outer.logins += 1
                    self.answer(
                        200,
                        {"access_token": "e30.eyJpZCI6IDF9.x", "refresh_token": "x"},
                    )
                else:
                    self.answer(200, {"result": "ok"})

            def answer(self, status: int, body: object) -> None:
                data = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Ends the server."""
        self._server.shutdown()
        self._server.server_close()


def test_a_dry_run_plans_and_sends_nothing(
    small_library: Path, shelf: Shelf, workers: LocalWorkers
) -> None:
    """Files and bytes by format, what would be refused, an estimate; nothing is written,
    nothing reaches the server."""
    workers.state_dir.mkdir()
    code, said = workers.run(small_library, shelf, "--dry-run", "--rate", "218")
    assert code == 0, said
    assert re.search(r"EPUB\s+184\b", said)
    assert re.search(r"to be sent\s+218\b", said)
    assert re.search(r"refused: unsupported: CBZ\s+5\b", said)
    assert "About 60 s at 218 files/min" in said
    assert list(workers.state_dir.iterdir()) == []
    with shelf.session() as session:
        assert session.get(f"{shelf.url}/api/ebooks", timeout=20).json()["total"] == 0


def test_only_the_formats_asked_for_are_sent(
    tmp_path: Path, shelf: Shelf, workers: LocalWorkers
) -> None:
    """The others are `skipped`, as are Calibre's originals of converted files."""
    library = Library(tmp_path / "library")
    library.add(Made(files={"EPUB": epub(1), "TXT": b"text", "ORIGINAL_EPUB": epub(2)}))
    code, said = workers.run(library.root, shelf, "--formats", "epub")
    assert code == 0, said
    assert counts_of(workers) == Counts(discovered=3, uploaded=1, skipped=2)
    code, said = workers.run(library.root, shelf)
    assert code == 0, said
    assert counts_of(workers) == Counts(
        discovered=3, uploaded=1, duplicate=1, skipped=1
    )
    with shelf.session() as session:
        listed = session.get(f"{shelf.url}/api/ebooks", timeout=20).json()
        ebook = session.get(
            f"{shelf.url}/api/ebooks/{listed['items'][0]['id']}", timeout=20
        ).json()
    assert listed["total"] == 1
    assert (ebook["title"], [source["format"] for source in ebook["sources"]]) == (
        "A Book",
        ["epub", "txt"],
    )


def test_a_ledger_of_another_server_is_refused(
    tmp_path: Path, shelf: Shelf, shelves: Callable[..., Shelf], workers: LocalWorkers
) -> None:
    """A demo and the real thing never mix: status 2 and the way out."""
    library = Library(tmp_path / "library")
    assert workers.run(library.root, shelf)[0] == 0
    code, said = workers.run(library.root, shelves(tmp_path / "other"))
    assert (code, "give another --state-dir" in said) == (2, True), said
