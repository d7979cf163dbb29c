"""Every command that the documents print, typed in the order a person would, by a user
who is not root, in folders with blanks."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.host import processes
from migration.ledger import totals
from migration.state_files.names import LEDGER_NAME
from tests.support.environment import PASSWORD, USERNAME, end, needs
from tests.support.libraries.calibre_edits import add_column
from tests.support.libraries.librarykit import Library, Made, epub
from tests.support.machine.personkit import Person, person
from tests.support.machine.printed import printed, why_not
from tests.support.migration.workerkit import wait_for
from tests.support.servers.shelf import start_shelf

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.slow,
    pytest.mark.timeout(900),
    # The dashboard's page and the demo are typed as they are printed.
    pytest.mark.xdist_group("printed commands"),
]
NAS = "http://nas:6006"


@dataclass(frozen=True, slots=True)
class Try:
    """A command as it is printed, and what comes of it.

    `typed` has the placeholders filled in; `until` is of a command that goes on until
    Ctrl-C; `then` is what happens before the next.
    """

    command: str
    said: str = ""
    status: int = 0
    typed: str = ""
    until: str = ""
    then: "Callable[[Person], None] | None" = None


def state_dirs(one: Person) -> list[Path]:
    """Those of the person."""
    root = one.home / ".local" / "state" / "calibre-to-mybookshelf2"
    return [path for path in sorted(root.iterdir()) if path.is_dir()]


def closed(number: int, *, real: bool = False) -> Callable[[Person], None]:
    """Waits for the end of a pass, of the migration to the real server or the other."""

    def over(state_dir: Path) -> bool:
        if (state_dir / "bookshelf").exists() is real:
            return False
        found = totals.read(state_dir / LEDGER_NAME)
        assert found is not None
        ended = found.pass_id == number and found.closed_at is not None
        return ended and processes.monitor(state_dir) is None

    return lambda one: wait_for(lambda: any(map(over, state_dirs(one))))


def fills_in_the_login(one: Person) -> None:
    """As the README says."""
    path = one.checkout / ".env"
    text = path.read_text("utf-8")
    assert "MBS2_USERNAME=admin\nMBS2_PASSWORD=\n" in text
    text = text.replace("MBS2_USERNAME=admin", f"MBS2_USERNAME={USERNAME}")
    text = text.replace("MBS2_PASSWORD=", f"MBS2_PASSWORD={PASSWORD!r}")
    path.write_text(text, "utf-8")


def stops(one: Person) -> None:
    """What the person does who is shown that several run."""
    status, said = one.types("./stop.sh --all")
    assert status == 0, said


START = "./start.sh --library ~/Calibre"
TRIES = (
    Try("./start.sh --demo", "The books can be looked at on http://127.0.0.1:"),
    Try("./stop.sh", "embedded server (pid "),
    Try(START, "The monitor runs", then=closed(1)),
    Try("./migrate status --watch", "Pass 1"),
    Try("tail -f monitor.log", until="Pass 1 closed"),
    Try("tail -f auto_restart.log", until="Starting worker 1"),
    Try("jq . auto_fix_history.json", "[]"),
    Try("tail -f migration_worker1.log", until="Worker 1 starts"),
    Try("./migrate verify", "4 there, 0 missing"),
    Try("./migrate recheck", "0 are pending again"),
    Try("./migrate retry", "0 failed files are pending again"),
    Try("./migrate export map.csv", "4 files written to map.csv"),
    Try(
        "./migrate status [--json]",
        '"discovered": 4',
        typed="./migrate status --json",
    ),
    Try("./migrate link", "/enter?link="),
    Try(
        "./migrate report DIR [--pass N]",
        "The report is in ",
        typed="./migrate report 'my report' --pass 1",
    ),
    Try("./migrate diff", "is the released one"),
    Try("./migrate rollback", "[nothing-to-roll-back]", 2),
    Try("./migrate apply PROPOSAL", "holds no change; there are: none", 2),
    Try("git diff -- bulk_migrate_calibre.py"),
    Try("git commit bulk_migrate_calibre.py", "nothing to commit", 1),
    Try("git checkout -- bulk_migrate_calibre.py"),
    Try(f"{START} --shelf-column '#read' --shelf-column '#mood'", then=closed(3)),
    Try(f"{START} --shelves none", then=closed(4)),
    Try(
        f'{START} --tag Fantasy --tag Horror --not-author "van der Berg, Anna"',
        "The monitor runs",
        then=closed(5),
    ),
    Try(f"{START} --ids 1-20,45 --format epub,pdf", then=closed(6)),
    Try(
        f"{START} --language en --added-since 30d "
        "--not-modified-since 2026-01-31T18:30",
        then=closed(7),
    ),
    Try("./migrate undo 3 --dry-run", "Pass 3 made"),
    Try("./migrate undo 3", "Pass 3 made"),
    Try("./stop.sh [--monitor-only]", "Nothing", typed="./stop.sh --monitor-only"),
    Try("./stop.sh", "embedded server (pid "),
    Try("./migrate dashboard", until="/enter?link="),
    Try("cp .env.example .env", then=fills_in_the_login),
    Try(f"{START} --server {NAS}", "The monitor runs", then=closed(1, real=True)),
    Try(f"{START} --server {NAS} --watch", "It stays", then=stops),
    Try(f"{START} --server {NAS} --watch --every 1h", "It stays", then=stops),
    Try(
        "./start.sh --library DIR --server URL",
        "The monitor runs",
        typed=f"{START} --server {NAS}",
        then=stops,
    ),
)


def fill(library: Library) -> None:
    """With whatever the documents name: tags, an author, formats, columns, times."""
    writers = ((("Anna van der Berg", "van der Berg, Anna"),), (("A B", "B, A"),))
    library.add(
        Made("One", writers[0], {"EPUB": epub(1)}, tags=("Fantasy",)),
        Made("Two", writers[1], {"EPUB": epub(2)}, tags=("Horror", "Odd")),
        Made("Three", writers[1], {"PDF": b"%PDF-1.4 three"}),
        Made("Four", writers[1], {"EPUB": epub(4)}),
    )
    add_column(library, "read", "bool", "Read", {1: 1, 2: 0})
    add_column(library, "mood", "text", "Mood", {2: "dark"})
    library.sql("UPDATE books SET last_modified = '2026-01-02 03:04:05' WHERE id = 4")


@pytest.fixture
def anna() -> Iterator[Person]:
    """A person with a library, and git."""
    needs("jq")
    with person() as one:
        fill(Library(one.home / "Calibre"))
        one.owns_everything()
        status, said = one.types(
            "git init -q && git config user.name Anna && git config user.email a@b "
            "&& git add -A && git commit -qm 'A clone'"
        )
        assert status == 0, said
        yield one


@pytest.fixture
def nas(tmp_path: Path) -> Iterator[str]:
    """The URL of a server that is not started by ./start.sh."""
    shelf = start_shelf(tmp_path / "nas")
    yield shelf.url
    end(shelf.process)


def test_all_of_them(anna: Person, nas: str) -> None:
    """Each ends as it should and says what it should; nothing is left running."""
    assert ({one.command for one in TRIES} ^ printed().keys()) - untried() == set()
    for one in TRIES:
        typed = (one.typed or one.command).replace(NAS, nas)
        if one.until:
            said = anna.types_until(typed, one.until)
            assert one.until in said, f"{typed}\n{said}"
        else:
            status, said = anna.types(typed)
            assert (status, one.said in said) == (one.status, True), f"{typed}\n{said}"
        if one.then is not None:
            one.then(anna)
    assert anna.types("./stop.sh --all") == (0, "Nothing was running.\n")


def untried() -> set[str]:
    """Those that are left out, for a reason."""
    return {command for command in printed() if why_not(command)}
