"""The audit in real processes: scripts that send something else, processes that die."""

from pathlib import Path

import psutil
import pytest
from PIL import Image

from tests.support.environment import PROJECT
from tests.support.libraries.librarykit import Library, Made, epub, epubs
from tests.support.libraries.truth import look
from tests.support.migration.workerkit import FAST, wait_for
from tests.support.migration.workers import Workers
from tests.support.servers.shelf import Shelf

AUDITED = {**FAST, "AUDIT": "auto"}
#: Put into the substrate by a script: what it makes of a book is not what Calibre has.
_MADE = """
from migration.worker import range_books as _books

_made = _books.metadata_of


def _other(*given: object, **named: object) -> object:
    metadata = _made(*given, **named)
    return replace(metadata, {change})


_books.metadata_of = _other


"""
_CLASS = "class CalibreMigrator:\n"


def patched(tmp_path: Path, old: str, new: str) -> Path:
    """A copy of the script with another text in one place."""
    text = (PROJECT / "bulk_migrate_calibre.py").read_text("utf-8")
    assert text.count(old) == 1
    script = tmp_path / "bulk_migrate_calibre.py"
    script.write_text(text.replace(old, new), "utf-8")
    return script


@pytest.fixture
def library(tmp_path: Path) -> Library:
    """A book with two authors, a series and a cover that no file has."""
    made = Library(tmp_path / "library")
    made.add(
        Made(
            title="The Silent Harbour",
            authors=(("Bela West", "West, Bela"), ("Anna Ost", "Ost, Anna")),
            series="Harbour Tales",
            series_index=2,
            files={"EPUB": epub(1)},
        )
    )
    folder = made.file(1).parent
    Image.new("RGB", (60, 80), "navy").save(folder / "cover.jpg")
    made.sql("UPDATE books SET has_cover = 1")
    return made


@pytest.mark.parametrize(
    ("change", "kind"),
    [
        pytest.param(
            "authors=metadata.authors[::-1]",
            "wrong order of authors",
            id="authors reversed",
        ),
        pytest.param(
            "authors=tuple(type(one)(one.first, one.last) for one in metadata.authors)",
            "wrong authors",
            id="first and last name swapped",
        ),
        pytest.param(
            "series=None, series_index=None",
            "wrong series",
            id="no series",
        ),
    ],
)
def test_a_worker_that_sends_something_else_is_found_out(
    library: Library,
    shelf: Shelf,
    workers: Workers,
    tmp_path: Path,
    change: str,
    kind: str,
) -> None:
    """The audit runs the shipped code in a process of its own, whatever is wrong with
    the code of the worker."""
    made = _MADE.format(change=change)
    workers.script = patched(tmp_path, _CLASS, f"{made}{_CLASS}")
    code, said = workers.run(library.root, shelf, **AUDITED)
    assert code == 8, said
    assert f"On the server stands a difference ({kind}): ebook 1 of book 1" in said
    assert said.count("On the server stands a difference") == 1, said
    # Nothing puts authors into another order that the server has made already.
    lasts = kind == "wrong order of authors"
    workers.script = PROJECT / "bulk_migrate_calibre.py"
    code, said = workers.run(library.root, shelf, **AUDITED)
    assert code == (8 if lasts else 0), said
    assert "1 changed books read back" in said


_METADATA = "metadata = self.range_books.metadata(book, self.vocabulary)\n"
_INDENTED = f"{' ' * 16}metadata = replace(metadata, "


@pytest.mark.parametrize(
    ("old", "new", "claim"),
    [
        pytest.param(
            _METADATA,
            f"{_METADATA}{_INDENTED}authors=metadata.authors[::-1])\n",
            "that book 1 has other metadata than Calibre's",
            id="authors reversed",
        ),
        pytest.param(
            "Work(book, metadata, todo, alone=suspect)",
            "Work(replace(book, cover=None), metadata, todo, alone=suspect)",
            "that book 1 is another than Calibre's",
            id="no cover",
        ),
    ],
)
def test_a_script_that_hands_on_something_else_sends_nothing(
    library: Library,
    shelf: Shelf,
    workers: Workers,
    tmp_path: Path,
    old: str,
    new: str,
    claim: str,
) -> None:
    """It ends before anything of the book has left."""
    workers.script = patched(tmp_path, old, new)
    code, said = workers.run(library.root, shelf, **AUDITED)
    assert code == 70, said
    assert f"the worker's script claims {claim}" in said
    assert not look(shelf.data_dir).hashes


def test_the_shipped_script_is_proved(
    library: Library, shelf: Shelf, workers: Workers
) -> None:
    """Authors, series and cover as they are in Calibre."""
    code, said = workers.run(library.root, shelf, **AUDITED)
    assert code == 0, said
    assert "all 1 changed books read back from the server: proved" in said


def audits(worker: psutil.Process) -> list[psutil.Process]:
    """The audits of a worker."""
    try:
        return [
            child
            for child in worker.children()
            if child.status() != psutil.STATUS_ZOMBIE
            and "migration.audit" in child.cmdline()
        ]
    except psutil.NoSuchProcess:
        return []


def test_after_a_death_the_pass_is_audited_again(
    tmp_path: Path, shelf: Shelf, workers: Workers
) -> None:
    """First the audit is killed, then, in its second try, the worker."""
    library = Library(tmp_path / "library")
    library.add(*epubs(range(12)))
    process = workers.start(library.root, shelf, **AUDITED)
    worker = psutil.Process(process.pid)
    wait_for(lambda: bool(audits(worker)))
    first = audits(worker)[0]
    first.kill()
    wait_for(lambda: any(child != first for child in audits(worker)))
    [second] = [child for child in audits(worker) if child != first]
    worker.kill()
    said = workers.finish(process)[1]
    assert "The audit failed: it ended with status -9" in said
    wait_for(lambda: not second.is_running() or second.status() == "zombie")
    code, said = workers.run(library.root, shelf, **AUDITED)
    assert code == 0, said
    assert "Pass 1 closed" in said
    assert "all 12 changed books read back from the server: proved" in said
