"""A pass about a selection: what is in it, what is outside, who may join it."""

import io
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import jsonschema
import pytest
from rich.console import Console

from auto_monitor.cli import picture, status
from dashboard.report import report
from migration.ledger import totals
from migration.model import Counts
from migration.state_files.names import LEDGER_NAME
from tests.support.libraries.librarykit import Library, Made, epub
from tests.support.migration.workerkit import counts_of, lines_of
from tests.support.servers.inprocess import LocalWorkers
from tests.support.servers.shelf import Shelf


@dataclass
class Case:
    """A library, a server and the workers of one state directory."""

    library: Library
    shelf: Shelf
    workers: LocalWorkers

    def run(self, *options: str, **environment: str) -> tuple[int, str]:
        return self.workers.run(self.library.root, self.shelf, *options, **environment)

    def totals(self) -> totals.Totals:
        found = totals.read(self.workers.state_dir / LEDGER_NAME)
        assert found is not None
        return found

    def files(self) -> set[tuple[int, str, str, int]]:
        with totals.opened(self.workers.state_dir / LEDGER_NAME) as db:
            rows = db.execute("SELECT book_id, format, outcome, pass_id FROM files")
            return {tuple(row) for row in rows}

    def said(self) -> str:
        return "\n".join(lines_of(self.workers))


@pytest.fixture
def case(tmp_path: Path, shelf: Shelf, workers: LocalWorkers) -> Case:
    """Six books; those with odd numbers are Fantasy, the last two have PDFs as well."""
    library = Library(tmp_path / "library")
    for number in range(1, 7):
        pdf = {"PDF": b"%PDF-1.4 " + str(number).encode()} if number > 4 else {}
        library.add(
            Made(
                title=f"Book {number}",
                authors=((f"Author {number % 3}", ""),),
                tags=("Fantasy.High",) if number % 2 else ("History",),
                files={"EPUB": epub(number), **pdf},
            )
        )
    return Case(library, shelf, workers)


def test_what_is_not_selected_is_outside_the_pass(case: Case) -> None:
    """Neither discovered nor skipped; the closing line says what was selected."""
    code, said = case.run("--tag", "fantasy", "--not-format", "pdf")
    assert code == 0, said
    assert counts_of(case.workers) == Counts(discovered=3, uploaded=3)
    assert {row[:2] for row in case.files()} == {(n, "EPUB") for n in (1, 3, 5)}
    [line] = re.findall("Pass 1 closed: .*", case.said())
    assert "(proved row by row)" in line
    assert line.endswith(
        "; selection: tag fantasy, not format PDF; 3 of 6 books are outside"
    )
    assert case.totals().total == 3
    assert case.run()[0] == 0
    assert case.totals().counts == Counts(discovered=8, uploaded=5, duplicate=3)


def test_a_start_without_options_goes_on_with_the_open_pass(case: Case) -> None:
    """Whatever it says itself, a joining worker works on the pass's selection too."""
    assert case.run("--ids", "1-4", "--open-pass")[0] == 0
    code, said = case.run("--join-only", "--tag", "History", "--limit", "1")
    assert code == 0, said
    assert {row[0] for row in case.files()} <= {1, 2, 3, 4}
    code, said = case.run()
    assert code == 0, said
    assert case.totals().counts == Counts(4, 4, 0, 0, 0, 0)
    assert "Pass 1 has a selection: ids 1-4; 2 of 6 books are outside" in case.said()


@pytest.mark.parametrize(
    ("first", "second", "about"),
    [
        (("--ids", "1-2"), ("--tag", "History"), "with the selection ids 1-2"),
        ((), ("--author", "author 1"), "over the whole library"),
    ],
)
def test_another_selection_is_refused_while_a_pass_is_open(
    case: Case, first: tuple[str, ...], second: tuple[str, ...], about: str
) -> None:
    """The message names both and the way out."""
    assert case.run(*first, "--open-pass")[0] == 0
    code, said = case.run(*second)
    assert code == 2
    assert f"pass 1 is open {about}, and this start asks for" in said
    assert "Start without selection to go on with pass 1" in said
    assert case.files() == set()
    assert case.run(*first)[0] == 0
    assert case.run(*second)[0] == 0


def test_the_same_selection_in_other_words_goes_on(case: Case) -> None:
    """An age means the time before the pass was opened, on every start."""
    asked = ("--added-since", "30d", "--tag", "Fantasy", "--ids", "1-3,4-6")
    assert case.run(*asked, "--open-pass")[0] == 0
    code, said = case.run(
        "--added-since", "30d", SELECT_TAG="FANTASY", SELECT_IDS="1-6"
    )
    assert code == 0, said
    assert case.totals().counts.discovered == 4


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (
            ("--tag", "Fantsy.High"),
            "no tag 'Fantsy.High' in the library, but 'Fantasy.High'",
        ),
        (("--not-tag", "Horror"), "no tag 'Horror' in the library"),
        (("--author", "Autor 1"), "no author 'Autor 1' in the library, but 'Author 1'"),
        (
            ("--format", "epbu"),
            "no files of the format 'EPBU' in the library, but 'EPUB'",
        ),
        (("--language", "Welsh"), "no language 'Welsh' in the library, but 'eng'"),
    ],
)
def test_a_name_that_nothing_has_is_refused(
    case: Case, options: tuple[str, ...], says: str
) -> None:
    """With names like it; no pass is opened, so that the next start may correct it."""
    code, said = case.run(*options)
    assert code == 2
    assert says in said
    assert totals.read(case.workers.state_dir / LEDGER_NAME) is None


def test_empty_options_are_refused(case: Case) -> None:
    """`--tag "$UNSET"` must not become everything."""
    assert case.run("--tag", " ")[0] == 2


def test_files_outside_are_not_taken_for_gone(case: Case) -> None:
    """What failed before stays in the ledger under a selection that leaves it out."""
    for number in (1, 2):
        [path] = (case.library.root / f"Author/Book ({number})").glob("*.epub")
        path.write_bytes(b"")
    assert case.run("--ids", "1-3")[0] == 1
    assert {row for row in case.files() if row[2] == "failed"} == {
        (1, "EPUB", "failed", 1),
        (2, "EPUB", "failed", 1),
    }
    assert case.run("--ids", "2-6", "--not-ids", "4")[0] == 1
    assert (1, "EPUB", "failed", 1) in case.files()
    assert (2, "EPUB", "failed", 2) in case.files()
    assert case.totals().failed == {"empty": 1}


def test_a_book_that_leaves_the_selection_leaves_the_pass(case: Case) -> None:
    """Its files are of no pass then, and the equation holds."""
    [path] = (case.library.root / "Author/Book (1)").glob("*.epub")
    path.write_bytes(b"")
    assert case.run("--tag", "fantasy", "--limit", "1")[0] in (0, 1)
    case.library.sql("DELETE FROM books_tags_link WHERE book = 1")
    code, said = case.run()
    assert code == 0, said
    assert case.totals().counts == Counts(discovered=3, uploaded=3)
    assert (1, "EPUB", "failed", 0) in case.files()
    case.run()
    assert (1, "EPUB", "failed", 2) in case.files()


def test_only_selected_failures_are_tried_again(case: Case) -> None:
    """`--retry-failed` with a selection leaves the others as they are."""
    for number in (1, 2):
        [path] = (case.library.root / f"Author/Book ({number})").glob("*.epub")
        path.write_bytes(b"no epub at all, and too long" * 10)
    assert case.run(MAX_CONTENT_LENGTH="250")[0] == 1
    code, said = case.run("--retry-failed", "--ids", "2")
    assert "1 failed files are pending again" in case.said()
    assert code == 0, said
    assert (1, "EPUB", "failed", 1) in case.files()
    assert (2, "EPUB", "uploaded", 2) in case.files()


def test_verify_compares_only_what_is_selected(case: Case) -> None:
    """A line for each of the selected files, and no other."""
    assert case.run("--ids", "1,6")[0] == 0
    code, said = case.run("--verify", "--ids", "1,6", "--json")
    assert code == 0, said
    lines = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    assert [(line["book_id"], line["format"], line["mark"]) for line in lines] == [
        (1, "EPUB", "="),
        (6, "EPUB", "="),
        (6, "PDF", "="),
    ]
    code, said = case.run("--verify")
    assert code == 1
    assert "selection: ids 1,6; 4 of 6 books are outside. This compares" in said


def test_status_and_report_name_the_selection(case: Case) -> None:
    """As of when the pass was opened."""
    assert case.run("--author", "author 1")[0] == 0
    state, now = case.workers.state_dir, datetime.now(UTC)
    shown = status.collect(state, now).totals
    about = "selection: author author 1; 4 of 6 books are outside"
    assert shown is not None
    assert shown.selection == about
    value = report.collect(state, now)
    assert value["selection"] == {"words": "author author 1", "books": 6, "outside": 4}
    schema = json.loads((report.HERE / "report.schema.json").read_text("utf-8"))
    jsonschema.validate(json.loads(json.dumps(value)), schema)
    console = Console(file=io.StringIO(), width=200)
    console.print(picture.picture(status.collect(state, now), now))
    assert about in console.file.getvalue()  # type: ignore[attr-defined]
