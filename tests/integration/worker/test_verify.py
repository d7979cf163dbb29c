"""`--verify` and `--recheck`: through outages, interruptions and refusals, on real
servers that die and come back."""

import json
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from migration.model import Phase
from migration.state_files import position
from migration.state_files.progress import progress_path, read
from tests.support.environment import end
from tests.support.libraries.librarykit import Library, Made, epub, epubs
from tests.support.migration.workerkit import wait_for
from tests.support.migration.workers import Workers
from tests.support.servers.shelf import start_shelf

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("verified library")]
#: Short waits; a server that is away for longer than this is given up.
FAST = {
    "RETRY_FIRST_SECONDS": "0.05",
    "PROBE_SECONDS": "0.1",
    "VERIFY_PATIENCE_SECONDS": "60",
}


def marks_of(said: str) -> list[str]:
    """The lines about files."""
    return [
        line for line in said.splitlines() if line[:2] in ("= ", "- ", "! ", "x ", "? ")
    ]


def summary_of(said: str) -> str:
    """The last line."""
    return [
        line
        for line in said.splitlines()
        if " there, " in line and " not known" in line
    ][-1]


class Case:
    """A library of 45 files, migrated, and its server, which can be killed and started
    again."""

    def __init__(self, root: Path) -> None:
        self.library = Library(root / "library")
        self.data = root / "shelf"
        self.workers = Workers(root / "state")
        self.library.add(*epubs(range(40)))
        same = b"the same words"
        self.library.add(
            Made(title="Two formats alike", files={"TXT": same, "KEPUB": same}),
            Made(title="A comic", files={"CBZ": b"PK comic"}),
            Made(title="Empty", files={"EPUB": b""}),
            Made(title="Gone", files={"EPUB": epub(900)}),
        )
        # Slow enough to be killed in the middle.
        self.shelf = start_shelf(self.data, "--delay-ms", "25")

    def prepare(self) -> None:
        """Migrates; then the server loses one file."""
        code, said = self.run()
        assert code == 1, said
        with self.shelf.session() as session:
            gone = session.get(f"{self.shelf.url}/api/search/Gone", timeout=20).json()[
                "items"
            ][0]["id"]
            ebook = session.get(
                f"{self.shelf.url}/api/ebooks/{gone}", timeout=20
            ).json()
            assert session.delete(
                f"{self.shelf.url}/api/sources/{ebook['sources'][0]['id']}", timeout=20
            ).ok

    def run(self, *options: str) -> tuple[int, str]:
        """Runs a worker to its end."""
        return self.workers.run(self.library.root, self.shelf, *options, **FAST)

    def kill(self) -> None:
        """The server dies."""
        assert self.shelf.process is not None
        self.shelf.process.kill()
        end(self.shelf.process)

    def start(self) -> None:
        """It comes back on the same port."""
        self.shelf = start_shelf(
            self.data, "--delay-ms", "25", port=int(self.shelf.url.rpartition(":")[2])
        )

    def begin(self, **more: str) -> "subprocess.Popen[str]":
        """Starts to verify; returns when some files are compared and the position is
        kept."""
        process = self.workers.start(
            self.library.root,
            self.shelf,
            "--verify",
            "--parallel-uploads",
            "1",
            **{**FAST, **more},
        )
        where = position.path(self.workers.state_dir, 1)
        wait_for(where.exists)
        return process


#: What is said of every file, but for the reasons.
EXPECTED = [
    *(f"= {number}/EPUB" for number in range(1, 41)),
    "= 41/KEPUB",
    "= 41/TXT",
    "x 42/CBZ refused: unsupported",
    "! 43/EPUB",
    "- 44/EPUB",
]


def agree(found: list[str], wanted: list[str]) -> bool:
    """The same lines, reasons aside."""
    return len(found) == len(wanted) and all(
        a.startswith(b) for a, b in zip(found, wanted, strict=True)
    )


@pytest.fixture(scope="module")
def case(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Case]:
    """One for all tests here; each leaves the server running."""
    made = Case(tmp_path_factory.mktemp("verify"))
    try:
        made.prepare()
        yield made
    finally:
        end(made.shelf.process)


def test_every_file_has_its_word(case: Case) -> None:
    """Two formats of the same bytes are there; a refused file is refused, not missing;
    JSON says the same."""
    code, said = case.run("--verify")
    assert (code, agree(marks_of(said), EXPECTED)) == (1, True), said
    assert (
        summary_of(said) == "42 there, 1 missing, 1 unreadable, 1 refused, 0 not known"
    )
    code, said = case.run("--verify", "--json", "--formats", "cbz,txt")
    assert code == 0, said
    rows = [json.loads(line) for line in said.splitlines() if line.startswith("{")]
    found = [(row["format"], row["mark"], row["state"]) for row in rows]
    assert found == [("TXT", "=", "there"), ("CBZ", "x", "refused")]
    assert rows[1]["note"].startswith("unsupported (the server says: ")
    seen = read(progress_path(case.workers.state_dir, 1))
    assert seen is not None
    counts = (
        seen.counts.discovered,
        seen.counts.duplicate,
        seen.counts.failed,
        seen.counts.pending,
    )
    assert (seen.status, counts) == (Phase.COMPLETED, (2, 1, 1, 0))


def test_a_restart_of_the_server_changes_nothing(case: Case) -> None:
    """Killed in the middle: it waits, says so, and every file has the same word as
    without."""
    process = case.begin()
    case.kill()
    path = progress_path(case.workers.state_dir, 1)
    wait_for(lambda: (seen := read(path)) is not None and seen.status is Phase.WAITING)
    case.start()
    code, said = case.workers.finish(process)
    assert (code, agree(marks_of(said), EXPECTED)) == (1, True), said
    assert "The server does not answer; the comparison waits for it" in said
    assert "The server answers again" in said
    assert (
        summary_of(said) == "42 there, 1 missing, 1 unreadable, 1 refused, 0 not known"
    )


@pytest.mark.parametrize(
    "ending", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "kill -9"]
)
def test_it_goes_on_where_it_was_interrupted(
    case: Case, ending: signal.Signals
) -> None:
    """The first part and the second make the whole; the summary counts both; the next
    one begins anew."""
    process = case.begin()
    process.send_signal(ending)
    code, first = case.workers.finish(process)
    if ending is signal.SIGINT:
        assert code == 130
        assert re.match(
            r"Stopped after book \d+; the same command goes on there. So far: \d+ there",
            summary_of(first),
        )
    code, second = case.run("--verify")
    assert code == 1, second
    assert 0 < len(marks_of(second)) < len(EXPECTED)
    assert agree(
        [*marks_of(first)[: len(EXPECTED) - len(marks_of(second))], *marks_of(second)],
        EXPECTED,
    )
    assert "Going on after book " in second
    assert (
        summary_of(second)
        == "42 there, 1 missing, 1 unreadable, 1 refused, 0 not known"
    )
    assert not position.path(case.workers.state_dir, 1).exists()


def test_a_server_that_stays_away_ends_it_with_a_word_for_every_file(
    case: Case,
) -> None:
    """What was not asked is not known, status 1; when the server is back, the same
    command asks the rest."""
    process = case.begin(VERIFY_PATIENCE_SECONDS="0.5")
    case.kill()
    code, first = case.workers.finish(process)
    case.start()
    assert code == 1, first
    known = [line for line in marks_of(first) if line[0] not in "?"]
    unknown = [line for line in marks_of(first) if line[0] == "?"]
    assert len(known) + len(unknown) == len(EXPECTED), first
    assert all("not known: " in line for line in unknown)
    assert "the server has not answered for 0.5 s" in unknown[-1]
    assert summary_of(first).startswith("The server did not come back after book ")
    code, second = case.run("--verify")
    assert (
        summary_of(second)
        == "42 there, 1 missing, 1 unreadable, 1 refused, 0 not known"
    )
    assert marks_of(second)[0].split()[1] == unknown[0].split()[1]
