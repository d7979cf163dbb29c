"""The commands that the documents print, in the order a person would type them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from deploy.host import processes
from migration.ledger import totals
from migration.state_files.names import LEDGER_NAME
from tests.support.environment import PASSWORD, USERNAME
from tests.support.machine.personkit import PATIENCE, Person
from tests.support.migration.workerkit import wait_for

NAS = "http://nas:6006"
#: The same server under another name.
RENAMED = "http://renamed:6006"


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

    return lambda one: wait_for(lambda: any(map(over, state_dirs(one))), PATIENCE)


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
    Try("./start.sh --demo", "Your shelf: http://127.0.0.1:"),
    Try("./stop.sh", "embedded server (pid "),
    Try(START, "The monitor runs", then=closed(1)),
    Try("./migrate status --watch", "Pass 1"),
    Try("tail -f monitor.log", until="Next time"),
    Try("tail -f auto_restart.log", until="Starting worker 1"),
    Try("jq . auto_fix_history.json", "[]"),
    Try("tail -f migration_worker1.log", until="Pass 1 closed"),
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
    Try("git commit bulk_migrate_calibre.py", "to commit", 1),
    Try("git checkout -- bulk_migrate_calibre.py"),
    Try(f"{START} --shelf-column '#read' --shelf-column '#mood'", then=closed(3)),
    Try(f"{START} --shelves none", then=closed(4)),
    Try(
        f'{START} --tag Fantasy --tag Horror --not-author "Anna van der Berg"',
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
    # On a terminal with a link, which is a secret.
    Try("./migrate dashboard", until="dashboard listening on "),
    Try("cp .env.example .env", then=fills_in_the_login),
    Try(f"{START} --server {NAS}", "The monitor runs", then=closed(1, real=True)),
    Try(f"{START} --server {NAS} --watch", "It stays", then=stops),
    Try(f"{START} --server {NAS} --watch --every 1h", "It stays", then=stops),
    Try(
        "./start.sh ~/Calibre --server https://books.example --rebind",
        "The monitor runs",
        typed=f"./start.sh ~/Calibre --server {RENAMED} --rebind",
        then=stops,
    ),
    Try(
        "./start.sh --library DIR --server URL",
        "The monitor runs",
        typed=f"{START} --server {RENAMED}",
        then=stops,
    ),
)
