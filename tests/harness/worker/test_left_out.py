"""What is left out is said: in the log, the summary, the report, and
not_carried.jsonl."""

import csv
import io
import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from auto_monitor.cli import end, end_text
from dashboard.report.page import render
from dashboard.report.report import collect
from migration.ledger import totals
from migration.ledger.database import LedgerDatabase
from migration.ledger.tables.notices import NoticeKind
from migration.state_files import logs, not_carried
from migration.state_files.names import LEDGER_NAME
from tests.support.environment import FIXTURES
from tests.support.libraries.librarykit import Library, Made, epub
from tests.support.servers.inprocess import LocalShelf, LocalWorkers
from tests.support.servers.shelf import Shelf

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("odd library")]
RED, BLUE = (200, 10, 10), (10, 10, 200)


def picture(colour: tuple[int, int, int], kind: str = "JPEG") -> bytes:
    """A cover of one colour."""
    buffer = io.BytesIO()
    Image.new("RGB", (60, 80), colour).save(buffer, kind)
    return buffer.getvalue()


def colour_of(shelf: Shelf, ebook_id: int) -> tuple[int, ...]:
    """The mean colour of an ebook's cover, roughly."""
    with shelf.session() as session:
        answer = session.get(f"{shelf.url}/api/ebooks/{ebook_id}/cover", timeout=20)
    assert answer.status_code == 200, answer.text
    mean = (
        Image.open(io.BytesIO(answer.content))
        .convert("RGB")
        .resize((1, 1))
        .getpixel((0, 0))
    )
    assert isinstance(mean, tuple)
    return tuple(int(part) for part in mean)


def near(one: tuple[int, ...], other: tuple[int, ...]) -> bool:
    """The same colour but for what JPEG does to it."""
    return all(abs(a - b) < 12 for a, b in zip(one, other, strict=True))


class Odd:
    """A library with one book of every kind, and a server that has one of its files
    already."""

    def __init__(self, root: Path, shelf: Shelf) -> None:
        self.library = Library(root / "library")
        held = epub(900, title="Held", author="Somebody Else")
        other = Library(root / "other")
        other.add(Made(title="Held by Another", files={"EPUB": held}))
        assert LocalWorkers(root / "other-state").run(other.root, shelf)[0] == 0
        names = (
            "plain",
            "adopted",
            "conflict",
            "two",
            "empty",
            "held",
            "no cover",
            "empty cover",
            "bad cover",
            "data",
        )
        ids = self.library.add(
            *(self._made(name, number, held) for number, name in enumerate(names))
        )
        self.id = dict(zip(names, ids, strict=True))
        self._spoil()

    @staticmethod
    def _made(name: str, number: int, held: bytes) -> Made:
        if name == "empty":
            return Made(
                title="Wanted", tags=("Wish",), comments="to be bought", rating=8
            )
        if name == "held":
            return Made(
                title="Held by Another",
                files={"EPUB": held},
                comments="mine",
                series="A Series",
            )
        return Made(title=f"Odd {name}", files={"EPUB": epub(number, title=name)})

    def folder(self, name: str) -> Path:
        """The folder of a book."""
        return self.library.root / f"Author/Book ({self.id[name]})"

    def _spoil(self) -> None:
        self._rename("adopted", "Another Name.epub")
        # Hidden files beside a book are no candidates.
        (self.folder("adopted") / "._Another Name.epub").write_bytes(b"macOS")
        self._rename("conflict", "file.sync-conflict-20240101-120000-ABCDEFG.epub")
        self._rename("two", "one.epub")
        (self.folder("two") / "other.epub").write_bytes(b"another candidate")
        for name, data in (
            ("no cover", None),
            ("empty cover", b""),
            ("bad cover", b"<no picture>"),
        ):
            self.library.sql(
                "UPDATE books SET has_cover = 1 WHERE id = ?", (self.id[name],)
            )
            if data is not None:
                (self.folder(name) / "cover.jpg").write_bytes(data)
        (self.folder("data") / "data" / "notes").mkdir(parents=True)
        (self.folder("data") / "data" / "map.pdf").write_bytes(b"x")
        (self.folder("data") / "data" / "notes" / "a.txt").write_bytes(b"x")

    def _rename(self, name: str, to: str) -> None:
        self.library.file(self.id[name]).rename(self.folder(name) / to)


#: What every pass over the odd library must count.
NOTICED = {
    NoticeKind.ADOPTED: 1,
    NoticeKind.CONFLICTED: 1,
    NoticeKind.AMBIGUOUS: 1,
    NoticeKind.WITHOUT_FILES: 1,
    NoticeKind.THERE_ALREADY: 1,
    NoticeKind.COVER_MISSING: 3,
    NoticeKind.DATA_FILES: 1,
}


@pytest.fixture(scope="module")
def odd(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The odd library migrated once, with its state and its server."""
    root = tmp_path_factory.mktemp("odd")
    server = LocalShelf(root / "shelf")
    try:
        case = Odd(root, server.shelf)
        workers = LocalWorkers(root / "state")
        code, said = workers.run(case.library.root, server.shelf)
        assert code == 1, said
        yield case, workers, server.shelf
    finally:
        server.stop()


def lines(state_dir: Path) -> list[logs.LogLine]:
    """A worker's log."""
    text = logs.log_path(state_dir, 1).read_text("utf-8")
    return [line for row in text.splitlines() if (line := logs.parse(row)) is not None]


def records(state_dir: Path) -> dict[int, dict[str, Any]]:
    """not_carried.jsonl by book."""
    rows = [
        json.loads(row)
        for row in (state_dir / not_carried.NAME).read_text("utf-8").splitlines()
    ]
    assert len({row["book_id"] for row in rows}) == len(rows), "a book has two lines"
    return {row["book_id"]: row for row in rows}


@pytest.mark.parametrize(
    ("name", "level", "words"),
    [
        (
            "adopted",
            "INFO",
            "is not in the library; 'Author/Book (2)/Another Name.epub' was taken instead",
        ),
        (
            "conflict",
            "WARNING",
            "a copy that a synchronising program made of a conflict: is it the right version?",
        ),
        (
            "two",
            "WARNING",
            "2 files there could be it ('one.epub', 'other.epub'); leave one, or give it that name",
        ),
        ("empty", "INFO", "'Wanted' has no file; its metadata is not carried"),
        (
            "held",
            "INFO",
            "its files are on the server already, in ebook 1; its metadata is not carried",
        ),
        ("no cover", "WARNING", "cover.jpg' is not in the library"),
        ("empty cover", "WARNING", "cover.jpg' has 0 bytes"),
        (
            "bad cover",
            "WARNING",
            "cover missing, empty or no picture: it is no picture",
        ),
        ("data", "INFO", "extra data files not carried: map.pdf, notes/a.txt"),
    ],
)
def test_the_log_says_each_once(
    odd: tuple[Odd, LocalWorkers, Shelf], name: str, level: str, words: str
) -> None:
    """With the book, the reason, and a level that says whether somebody should look."""
    case, workers, _shelf = odd
    number = case.id[name]
    mine = [
        line
        for line in lines(workers.state_dir)
        if f"Book {number}" in line.message or f" {number}/" in line.message
    ]
    assert [line.level for line in mine if words in line.message] == [level], mine


def test_the_plain_book_is_not_mentioned(odd: tuple[Odd, LocalWorkers, Shelf]) -> None:
    """Nothing is said of what is as it should be."""
    case, workers, _shelf = odd
    assert not [
        line
        for line in lines(workers.state_dir)
        if f"Book {case.id['plain']}:" in line.message
    ]


def test_summary_report_and_log_count_the_same(
    odd: tuple[Odd, LocalWorkers, Shelf],
) -> None:
    """The totals, the page at the end, the lines of the log's end, the page and its
    JSON."""
    case, workers, _shelf = odd
    found = totals.read(workers.state_dir / LEDGER_NAME)
    assert found is not None
    assert dict(found.noticed) == {kind.value: n for kind, n in NOTICED.items()}
    assert dict(found.failed) == {"missing": 1}
    shown = end.read(workers.state_dir, datetime.now(tz=UTC))
    assert shown is not None
    text = end_text.as_text(shown)
    value: Any = collect(workers.state_dir, datetime.now(tz=UTC))
    said = [line.message for line in lines(workers.state_dir) if " × " in line.message]
    for kind, n in NOTICED.items():
        assert f"  {n} {kind.value}: " in text
        assert [one for one in said if one.startswith(f"{n} × {kind.value} (which: ")]
    assert (value["noticed"], value["notices_complete"]) == (dict(found.noticed), True)
    listed = {(row["book_id"], row["what"]) for row in value["notices"]}
    assert (case.id["conflict"], NoticeKind.CONFLICTED.value) in listed
    assert len(listed) == sum(NOTICED.values())
    page = render(value)
    assert all(kind.value in page for kind in NOTICED)


def test_metadata_that_was_not_carried_is_kept(
    odd: tuple[Odd, LocalWorkers, Shelf],
) -> None:
    """All of it, of books without an ebook of their own; the fields, of the others."""
    case, workers, _shelf = odd
    kept = records(workers.state_dir)
    wanted, held = kept[case.id["empty"]], kept[case.id["held"]]
    assert (wanted["ebook_id"], wanted["title"]) == (None, "Wanted")
    fields = {
        key: wanted["not_carried"][key]
        for key in ("authors", "tags", "rating", "languages", "comments")
    }
    assert fields == {
        "authors": ["Jane Doe"],
        "tags": ["Wish"],
        "rating": 8,
        "languages": ["eng"],
        "comments": "to be bought",
    }
    assert (
        held["ebook_id"],
        held["not_carried"]["series"],
        held["not_carried"]["comments"],
    ) == (1, "A Series", "mine")
    assert kept[case.id["data"]]["not_carried"]["data files"] == [
        "map.pdf",
        "notes/a.txt",
    ]
    assert "no picture" in kept[case.id["bad cover"]]["not_carried"]["cover"]
    assert "is not in the library" in kept[case.id["no cover"]]["not_carried"]["cover"]


def test_the_map_names_the_ebook_that_holds_a_file(
    odd: tuple[Odd, LocalWorkers, Shelf], tmp_path: Path
) -> None:
    """Also of a file that was there already; its source is not ours."""
    case, workers, shelf = odd
    assert (
        workers.run(
            case.library.root, shelf, "--export-map", str(tmp_path / "map.csv")
        )[0]
        == 0
    )
    written = (tmp_path / "map.csv").read_text("utf-8").splitlines()
    rows = {int(row["calibre_id"]): row for row in csv.DictReader(written)}
    held, plain = rows[case.id["held"]], rows[case.id["plain"]]
    assert (held["ebook_id"], held["source_id"]) == ("1", "")
    assert plain["ebook_id"] not in ("", "1")
    assert plain["source_id"]


def test_a_further_pass_counts_them_again_and_writes_nothing_twice(
    odd: tuple[Odd, LocalWorkers, Shelf],
) -> None:
    """What stands is counted in every pass; what was mended is forgotten; no line of
    metadata is repeated."""
    case, workers, shelf = odd
    before = (workers.state_dir / not_carried.NAME).read_bytes()
    conflicted = (
        case.folder("conflict") / "file.sync-conflict-20240101-120000-ABCDEFG.epub"
    )
    conflicted.rename(case.library.file(case.id["conflict"]))
    try:
        code, said = workers.run(case.library.root, shelf)
        assert code == 1, said
    finally:
        case.library.file(case.id["conflict"]).rename(conflicted)
    found = totals.read(workers.state_dir / LEDGER_NAME)
    assert found is not None
    wanted = {
        kind.value: n
        for kind, n in NOTICED.items()
        if kind is not NoticeKind.CONFLICTED
    }
    assert (found.pass_id, dict(found.noticed)) == (2, wanted)
    assert (workers.state_dir / not_carried.NAME).read_bytes() == before


def test_a_ledger_of_the_version_before_learns_which_ebook_holds_a_file(
    tmp_path: Path,
) -> None:
    """The hashes of files we sent get their ebooks, the others stay unknown; and
    notices can be kept."""
    path = tmp_path / LEDGER_NAME
    ours, others = b"\1" * 20, b"\2" * 20
    with closing(sqlite3.connect(path)) as db, db:
        db.executescript((FIXTURES / "ledger_v2.sql").read_text("utf-8"))
        db.execute("PRAGMA user_version = 2")
        db.execute(
            "INSERT INTO books (book_id, working_title, ebook_id) VALUES (7, 'A ~1-7', 70)"
        )
        for kind, sha1, source in (("EPUB", ours, 5), ("PDF", others, None)):
            db.execute("INSERT INTO hashes (sha1, size) VALUES (?, 9)", (sha1,))
            db.execute(
                "INSERT INTO files (book_id, format, size, mtime_ns, outcome, "
                "pass_id, sha1, source_id)"
                " VALUES (7, ?, 9, 1, 'duplicate', 1, ?, ?)",
                (kind, sha1, source),
            )
    LedgerDatabase(path).close()
    with closing(sqlite3.connect(path)) as db:
        assert db.execute(
            "SELECT sha1, ebook_id FROM hashes ORDER BY sha1"
        ).fetchall() == [(ours, 70), (others, None)]
        assert db.execute("SELECT COUNT(*) FROM notices").fetchone() == (0,)


def test_a_copy_of_our_own_is_known_by_its_ebook(
    tmp_path: Path, shelf: Shelf, workers: LocalWorkers
) -> None:
    """Two books with the same bytes: the second has no ebook, and the map and its line
    name the first one's."""
    library = Library(tmp_path / "library")
    library.add(
        Made(title="First", files={"EPUB": epub(1)}),
        Made(title="Second, alike", files={"EPUB": epub(1)}),
    )
    code, said = workers.run(library.root, shelf, "--parallel-uploads", "1")
    assert code == 0, said
    assert (
        workers.run(library.root, shelf, "--export-map", str(tmp_path / "map.csv"))[0]
        == 0
    )
    rows = [
        row.split(",")
        for row in (tmp_path / "map.csv").read_text("utf-8").splitlines()[1:]
    ]
    assert [row[3:] for row in rows] == [["1", "1"], ["1", ""]]
    assert records(workers.state_dir)[2]["ebook_id"] == 1


@pytest.mark.parametrize(
    "inside", [True, False], ids=["a cover in the EPUB", "none in the EPUB"]
)
def test_calibres_cover_wins(
    tmp_path: Path, shelf: Shelf, workers: LocalWorkers, inside: bool
) -> None:
    """Whatever picture the file has; and an ebook without a cover of Calibre's keeps
    the one of the file."""
    library = Library(tmp_path / "library")
    own = picture(BLUE, "PNG") if inside else b""
    with_cover, without = library.add(
        Made(title="With", files={"EPUB": epub(1, cover=own), "TXT": b"words"}),
        Made(title="Without", files={"EPUB": epub(2, cover=own)}),
    )
    library.sql("UPDATE books SET has_cover = 1 WHERE id = ?", (with_cover,))
    (library.file(with_cover).parent / "cover.jpg").write_bytes(picture(RED))
    code, said = workers.run(library.root, shelf, "--parallel-uploads", "1")
    assert code == 0, said
    assert near(colour_of(shelf, with_cover), RED)
    if inside:
        assert near(colour_of(shelf, without), BLUE)
    assert not [
        line for line in lines(workers.state_dir) if line.message.startswith("Book ")
    ]
