"""Where a migration keeps its state, and how the buttons find it again."""

import json
import os
import shlex
import shutil
import stat
import subprocess
from pathlib import Path

import pytest

from deploy.host import processes
from migration.ledger import totals
from migration.state_files.names import LEDGER_NAME
from tests.support.libraries.librarykit import Library, epubs
from tests.support.machine.checkoutkit import make_checkout, press

pytestmark = pytest.mark.e2e
QUICK = {"CHECK_INTERVAL_SECONDS": "1", "IOSTAT_SECONDS": "1", "REPORT_SECONDS": "0"}
LINKS = (
    "monitor.log",
    "auto_restart.log",
    "auto_fix_history.json",
    "migration_worker1.log",
    "migration_worker2.log",
)


@pytest.fixture
def books(tmp_path: Path) -> Library:
    """A library of six books."""
    return made(tmp_path / "my books", 6)


def made(root: Path, number: int) -> Library:
    """A library of so many books."""
    library = Library(root)
    library.add(*epubs(range(number)))
    return library


def migrate(checkout: Path, library: Library, *options: str, **more: str | None) -> str:
    """Moves a library to its end; returns what was said."""
    done = press(
        checkout,
        "./start.sh",
        "--library",
        str(library.root),
        "--foreground",
        "--workers",
        "2",
        "--no-dashboard",
        *options,
        **{**QUICK, **more},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def root() -> Path:
    """Where state directories belong."""
    return Path(os.environ["HOME"]) / ".local" / "state" / "calibre-to-mybookshelf2"


def state_dirs() -> list[Path]:
    """Those that are there."""
    return sorted(path for path in root().iterdir() if path.is_dir())


def the_pass(state_dir: Path) -> tuple[int, int, int, bool]:
    """Number, uploaded, duplicate, closed."""
    found = totals.read(state_dir / LEDGER_NAME)
    assert found is not None
    counts = found.counts
    return found.pass_id, counts.uploaded, counts.duplicate, found.closed_at is not None


def status(checkout: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    """`monitor.py --status`."""
    monitor = str(checkout / "auto_monitor" / "monitor.py")
    return press(checkout, ".venv/bin/python", monitor, "--status", *options)


def test_nothing_is_lost_or_refused(
    clone: Path, books: Library, tmp_path: Path
) -> None:
    """A second library, `git clean -xfd`, a fresh clone: each library goes on where it
    was."""
    migrate(clone, books)
    [mine] = state_dirs()
    assert mine.name[:-8] == "my-books-"
    assert the_pass(mine) == (1, 6, 0, True)
    lead_to(clone, mine)
    other = made(tmp_path / "other", 3)
    migrate(clone, other)
    [others] = [path for path in state_dirs() if path != mine]
    assert the_pass(others) == (1, 3, 0, True)
    lead_to(clone, others)

    git = ("git", "-C", str(clone), "-c", "user.name=a", "-c", "user.email=a@b")
    for command in (
        ("init", "-q"),
        ("add", "."),
        ("commit", "-qm", "x"),
        ("clean", "-xfdq"),
    ):
        subprocess.run([*git, *command], check=True, timeout=60)
    # The links were ignored, as everything that a start writes into its checkout.
    assert not any((clone / name).is_symlink() for name in LINKS)
    assert not any((clone / name).exists() for name in LINKS)
    fresh = make_checkout(tmp_path / "fresh clone")
    migrate(fresh, books)
    assert the_pass(mine) == (2, 0, 6, True)
    assert len(state_dirs()) == 2
    lead_to(fresh, mine)
    assert press(fresh, "./stop.sh", "--all").stdout.count("embedded server") == 2


def lead_to(checkout: Path, state_dir: Path) -> None:
    """All links lead to files of this state directory, the history is JSON."""
    for name in LINKS:
        link = checkout / name
        assert link.is_symlink(), name
        assert link.resolve(strict=True) == (state_dir / name).resolve()
    assert json.loads((checkout / "auto_fix_history.json").read_bytes()) == []
    assert "closed" in (checkout / "monitor.log").read_text("utf-8")


def test_links_lead_somewhere_as_soon_as_it_is_started(
    clone: Path, books: Library
) -> None:
    """Also where no monitor will write its logs."""
    started = press(
        clone,
        "./start.sh",
        "--library",
        str(books.root),
        "--workers",
        "2",
        "--no-monitor",
        "--no-dashboard",
    )
    assert started.returncode == 0, started.stderr
    assert {name for name in LINKS if (clone / name).exists()} == set(LINKS)
    assert json.loads((clone / "auto_fix_history.json").read_bytes()) == []


def test_only_this_user_can_look_in(clone: Path, books: Library) -> None:
    """Directories 0700, files 0600, whatever the umask of whoever starts it."""
    before = os.umask(0)
    try:
        said = migrate(clone, books)
    finally:
        os.umask(before)
    found = [root(), *root().rglob("*")]
    assert len(found) > 20
    wrong = [
        f"{path} {stat.S_IMODE(path.stat().st_mode):o}"
        for path in found
        if stat.S_IMODE(path.stat().st_mode) != (0o700 if path.is_dir() else 0o600)
    ]
    assert wrong == []
    assert "open to all users" not in said


def test_a_directory_that_others_can_read_stays_so_and_is_named(
    clone: Path, books: Library, tmp_path: Path
) -> None:
    """It is the user's."""
    mine = tmp_path / "open to all"
    mine.mkdir(mode=0o755)
    mine.chmod(0o755)
    said = migrate(clone, books, "--state-dir", str(mine))
    assert f"{mine} is open to all users of this machine (mode 0755)" in said
    assert stat.S_IMODE(mine.stat().st_mode) == 0o755


def test_several_that_run_are_listed_and_none_is_stopped(
    clone: Path, books: Library, tmp_path: Path
) -> None:
    """The embedded servers of two migrations; the commands of the list work as they
    are."""
    migrate(clone, books)
    mine = tmp_path / "it's mine"
    migrate(clone, made(tmp_path / "other", 3), "--state-dir", str(mine))
    both = [*state_dirs(), mine]
    assert all(serves(path) for path in both)
    listed = press(clone, "./stop.sh")
    assert listed.returncode == 2
    assert all(serves(path) for path in both)
    commands = [
        shlex.split(line, comments=True)
        for line in listed.stderr.splitlines()
        if "--state-dir" in line
    ]
    assert sorted(command[-1] for command in commands) == sorted(map(str, both))
    stopped = press(clone, *next(c for c in commands if c[-1] == str(mine)))
    assert (stopped.returncode, "embedded server" in stopped.stdout) == (0, True)
    assert [serves(path) for path in both] == [True, False]
    assert "embedded server" in press(clone, "./stop.sh").stdout
    assert not any(serves(path) for path in both)
    nothing = press(clone, "./stop.sh")
    assert (nothing.returncode, nothing.stdout) == (0, "Nothing was running.\n")


def serves(state_dir: Path) -> bool:
    """Does its embedded server run?"""
    found = processes.server(state_dir / "bookshelf")
    return found is not None and found[0].running() is not None


def test_commands_find_the_last_one_used(
    clone: Path, books: Library, tmp_path: Path
) -> None:
    """When nothing runs any more: status, retry, verify and the map, without a word
    about where."""
    nothing = status(clone)
    assert (nothing.returncode, "nothing was migrated yet" in nothing.stderr) == (
        2,
        True,
    )
    mine = tmp_path / "state of mine"
    migrate(clone, books, "--state-dir", str(mine))
    seen = status(clone, "--json")
    assert f"Nothing runs; the last one used is {mine}" in seen.stderr
    assert json.loads(seen.stdout)["totals"]["counts"]["uploaded"] == 6
    migrate(clone, made(tmp_path / "other", 3))
    assert (
        json.loads(status(clone, "--json").stdout)["totals"]["counts"]["uploaded"] == 3
    )
    for arguments, answer in (
        (("migration.commands.retry", "--all"), "0 files are pending again"),
        (("dashboard", "--report", str(tmp_path / "report")), "The report is in"),
    ):
        asked = press(
            clone, ".venv/bin/python", "-m", *arguments, PYTHONPATH=str(clone)
        )
        assert (asked.returncode, answer in asked.stdout) == (0, True), asked.stderr
    script = str(clone / "bulk_migrate_calibre.py")
    exported = press(
        clone,
        ".venv/bin/python",
        script,
        str(books.root),
        "--export-map",
        str(tmp_path / "map.csv"),
    )
    assert exported.returncode == 0, exported.stderr
    assert len((tmp_path / "map.csv").read_text("utf-8").splitlines()) == 7
    login = (mine / "bookshelf" / "credentials").read_text("utf-8").splitlines()
    secret = dict(line.split("=", 1) for line in login)["password"]
    verified = press(
        clone,
        ".venv/bin/python",
        script,
        str(books.root),
        "--verify",
        MBS2_PASSWORD=secret,
    )
    assert verified.returncode == 0, verified.stderr
    assert sum(line.startswith("= ") for line in verified.stdout.splitlines()) == 6


def test_what_an_older_version_left_goes_on_being_used(
    clone: Path, books: Library, tmp_path: Path
) -> None:
    """For its library; another one gets a place of its own, and no file of the old run
    is touched."""
    # An older version kept everything in the checkout.
    migrate(clone, books, "--state-dir", str(clone))
    shutil.rmtree(root())
    said = migrate(clone, books)
    assert (
        f"Going on with the state in {clone}, which an earlier version left there."
        in said
    )
    assert the_pass(clone) == (2, 0, 6, True)
    assert state_dirs() == []
    press(clone, "./stop.sh")
    old = {name: (clone / name).read_bytes() for name in LINKS}
    said = migrate(clone, made(tmp_path / "other", 3))
    [others] = state_dirs()
    assert f"this one is in {others}" in said
    assert f"There is no link {clone / 'monitor.log'} (and 4 more)" in said
    assert the_pass(others) == (1, 3, 0, True)
    assert {name: (clone / name).read_bytes() for name in LINKS} == old
    assert the_pass(clone) == (2, 0, 6, True)


def test_it_is_moved_out_of_the_checkout_as_the_manual_says(
    clone: Path, books: Library
) -> None:
    """Nothing of it is left there, and nothing of the program is gone."""
    migrate(clone, books, "--state-dir", str(clone))
    manual = (clone / "docs" / "operations.md").read_text("utf-8")
    chapter = manual.partition("### Moving what an older version left in the checkout")[
        2
    ]
    commands = chapter.split("```")[1]
    subprocess.run(
        ["bash", "-euc", commands],
        cwd=clone,
        check=True,
        timeout=120,
        capture_output=True,
    )
    migrate(clone, books)
    [mine] = state_dirs()
    assert the_pass(mine) == (2, 0, 6, True)
    assert not (clone / LEDGER_NAME).exists()
    lead_to(clone, mine)


def test_a_library_that_is_moved_or_restored(
    clone: Path, books: Library, tmp_path: Path
) -> None:
    """Moved, it goes on; restored by Calibre it has another id, and the ledger asks
    what that means."""
    migrate(clone, books)
    [mine] = state_dirs()
    moved = tmp_path / "elsewhere"
    books.root.rename(moved)
    books.root = moved
    migrate(clone, books)
    assert the_pass(mine) == (2, 0, 6, True)
    books.sql("UPDATE library_id SET uuid = 'another-id'")
    start = ("./start.sh", "--library", str(moved), "--no-dashboard")
    refused = press(clone, *start)
    assert (refused.returncode, "--adopt-library" in refused.stderr) == (2, True)
    migrate(clone, books, "--adopt-library")
    assert the_pass(mine) == (3, 0, 6, True)
    migrate(clone, books)
    assert (the_pass(mine), state_dirs()) == ((4, 0, 6, True), [mine])


def test_without_a_home_it_must_be_named(
    clone: Path, books: Library, tmp_path: Path
) -> None:
    """One sentence, exit status 2; nothing is begun anywhere."""
    start = ("./start.sh", "--library", str(books.root), "--no-dashboard")
    refused = press(clone, *start, HOME=None)
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)
    assert "give --state-dir DIR, or set STATE_DIR" in refused.stderr
    assert not (clone / LEDGER_NAME).exists()
    migrate(clone, books, "--state-dir", str(tmp_path / "mine"), HOME=None)
    assert the_pass(tmp_path / "mine") == (1, 6, 0, True)
    press(clone, "./stop.sh", "--state-dir", str(tmp_path / "mine"), HOME=None)
