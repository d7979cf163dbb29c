"""The ledger's files damaged, taken away or locked up: what is damage and what is not,
and what comes of it."""

import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from migration.errors import LedgerCorrupt, StateUnwritable
from migration.ledger import recovery, totals
from migration.ledger.ledger import Ledger
from migration.state_files.names import BACKUP_NAME, LEDGER_NAME
from migration.state_files.owner import this_process
from tests.support.environment import PROJECT, clean_environment
from tests.support.migration.fakes import ToldClock

NOW = datetime(2026, 11, 24, 12, 0, tzinfo=UTC)
LOG = logging.getLogger("test_damage")


@pytest.fixture
def made() -> Iterator[Callable[[Path], Ledger]]:
    """Opens ledgers of this process; all are closed after the test."""
    opened: list[Ledger] = []

    def make(folder: Path) -> Ledger:
        opened.append(Ledger(folder, this_process(1), ToldClock(NOW)))
        return opened[-1]

    yield make
    for ledger in opened:
        ledger.close()


def side(folder: Path, name: str) -> Path:
    """The ledger itself, its -wal, its -shm."""
    return folder / f"{LEDGER_NAME}{name}"


def delete(path: Path) -> None:
    """Gone."""
    path.unlink()


def cut(path: Path) -> None:
    """Cut to nothing, in place."""
    os.truncate(path, 0)


def overwrite(path: Path) -> None:
    """Other bytes, in place."""
    with path.open("r+b") as file:
        file.write(b"\xa5" * path.stat().st_size)


def directory(path: Path) -> None:
    """A directory with something in it has its name."""
    path.unlink()
    path.mkdir()
    (path / "a file").write_text("x")


def replace(path: Path) -> None:
    """Another file has its name."""
    other = path.with_name("other")
    other.write_bytes(b"other bytes")
    other.replace(path)


CELLS = [
    ("", delete, "was deleted or replaced"),
    ("", cut, "was overwritten"),
    ("", overwrite, "was overwritten"),
    ("", directory, "was deleted or replaced"),
    ("", replace, "was deleted or replaced"),
    ("-wal", delete, "has lost its"),
    ("-wal", cut, "was cut short"),
    ("-wal", overwrite, "was overwritten"),
    ("-wal", replace, "has lost its"),
    ("-shm", delete, "has lost its"),
]


@pytest.mark.parametrize(("name", "harm", "words"), CELLS)
def test_harm_done_under_a_worker_is_seen_and_rebuilt(
    tmp_path: Path,
    made: Callable[[Path], Ledger],
    name: str,
    harm: Callable[[Path], None],
    words: str,
) -> None:
    """By the next look; the next start has a healthy ledger that knows that it was
    lost, and keeps what was there."""
    used = made(tmp_path)
    assert used.passes.join(100, may_open=True) == 1
    used.check_in_place()
    harm(side(tmp_path, name))
    with pytest.raises(LedgerCorrupt, match=words):
        used.check_in_place()
    (tmp_path / "migration_progress_worker1.json").write_text("{}")
    recovery.mark_damaged(tmp_path, used.inode)
    ledger = recovery.open_ledger(tmp_path, lambda: made(tmp_path), LOG)
    assert ledger.rebuilt
    assert ledger.passes.join(100, may_open=True) == 1
    assert bool(list(tmp_path.glob("migration_ledger.2*.db"))) == (
        harm is not delete or name != ""
    )
    ledger.check_in_place()
    # Whoever still used the lost one says so now; the one in its place is not taken for
    # it.
    recovery.mark_damaged(tmp_path, used.inode)
    assert recovery.trouble(tmp_path) == ""


@pytest.mark.parametrize(
    "backup", [b"", b"no database", None], ids=["empty", "nonsense", "a directory"]
)
def test_a_backup_of_no_use_is_named(
    tmp_path: Path,
    made: Callable[[Path], Ledger],
    backup: bytes | None,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Then nothing but the server is left."""
    if backup is None:
        (tmp_path / BACKUP_NAME).mkdir()
    else:
        (tmp_path / BACKUP_NAME).write_bytes(backup)
    ledger = recovery.open_ledger(tmp_path, lambda: made(tmp_path), LOG)
    assert ledger.rebuilt
    assert "is gone, although there was one here" in caplog.text
    assert ("nothing but the server" in caplog.text) == (backup != b"")


def test_what_was_under_way_settles_first(
    tmp_path: Path, made: Callable[[Path], Ledger]
) -> None:
    """Workers that used a lost ledger may have sent something a moment ago; one that is
    just new waits for nothing."""
    new = recovery.open_ledger(
        tmp_path / "new", lambda: made(_folder(tmp_path / "new")), LOG
    )
    assert (new.rebuilt, new.settles_at()) == (False, NOW)
    (_folder(tmp_path / "lost") / "migration_progress_worker3.json").write_text("{}")
    lost = recovery.open_ledger(tmp_path / "lost", lambda: made(tmp_path / "lost"), LOG)
    assert (lost.settles_at() - NOW).total_seconds() == 40
    lost.back_up(1)
    assert lost.settles_at() == NOW


def _folder(path: Path) -> Path:
    path.mkdir(exist_ok=True)
    return path


#: Run as a user who is not root: tries the ledger in every way and prints the class and
#: the words of each refusal.
_TRIES = """
import json, logging, resource, sys
from pathlib import Path
from migration.ledger import recovery, totals
from common.clock import SteadyClock
from migration.ledger.ledger import Ledger
from migration.state_files.owner import this_process

folder = Path(sys.argv[1])
if len(sys.argv) > 2:
    # So few that the standard streams and the modules are open, and no ledger can be.
    owner, clock = this_process(1), SteadyClock()
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, 3))
else:
    owner, clock = this_process(1), SteadyClock()

def attempt(action):
    try:
        action()
    except Exception as error:
        return [type(error).__name__, str(error)]
    return ["", ""]

make = lambda: Ledger(folder, owner, clock)
found = [
    attempt(make), attempt(lambda: recovery.open_ledger(folder, make, logging.getLogger())),
    attempt(lambda: totals.read(folder / "migration_ledger.db")),
]
print(json.dumps(found))
"""


def tries(folder: Path, *more: str) -> list[list[str]]:
    """What somebody else meets there: opening, rescuing, reading."""
    command = [sys.executable, "-c", _TRIES, str(folder), *more]
    if os.getuid() == 0:
        command = [
            "setpriv",
            "--reuid",
            "65534",
            "--regid",
            "65534",
            "--clear-groups",
            *command,
        ]
    done = subprocess.run(
        command,
        cwd=PROJECT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[list[str]] = json.loads(done.stdout)
    return found


def no_rights(folder: Path) -> None:
    """Mode 000."""
    (folder / LEDGER_NAME).chmod(0)


def no_rights_to_wal(folder: Path) -> None:
    """The ledger may be opened, its -wal may not."""
    side(folder, "-wal").write_bytes(b"")
    side(folder, "-wal").chmod(0)


def in_a_closed_folder(folder: Path) -> None:
    """Nothing in it may be touched."""
    folder.chmod(0)


def in_a_folder_for_reading(folder: Path) -> None:
    """Nothing in it may be made."""
    folder.chmod(0o555)


@pytest.mark.parametrize(
    ("lock", "kind", "words"),
    [
        (
            no_rights,
            "StateUnwritable",
            "Permission denied; give this user the right to read and write it",
        ),
        (
            no_rights_to_wal,
            "StateUnwritable",
            "-wal: Permission denied; give this user the right",
        ),
        (
            in_a_closed_folder,
            "StateUnwritable",
            "Permission denied; give this user the right",
        ),
        (in_a_folder_for_reading, "StateUnwritable", "this user may not write into"),
        (None, "TooManyOpenFiles", "too many open files"),
    ],
    ids=[
        "mode 000",
        "wal of mode 000",
        "closed folder",
        "folder for reading",
        "too many open files",
    ],
)
def test_what_cannot_be_opened_is_not_damaged(
    tmp_path_factory: pytest.TempPathFactory,
    made: Callable[[Path], Ledger],
    lock: Callable[[Path], None] | None,
    kind: str,
    words: str,
) -> None:
    """A healthy ledger stays where it is, and the sentence names the real cause."""
    folder = shared(tmp_path_factory)
    made(folder).close()
    shutil.copy(folder / LEDGER_NAME, folder.parent / "as it was")
    for path in (folder, *folder.iterdir()):
        shutil.chown(path, 65534, 65534) if os.getuid() == 0 else None
    if lock is not None:
        lock(folder)
    found = tries(folder, *(["few"] if lock is None else []))
    folder.chmod(0o755)
    assert found[0][0] == found[1][0] == kind, found
    assert words in found[0][1]
    assert words in found[1][1]
    assert found[2][0] in ("", kind), found
    assert list(folder.glob("migration_ledger.2*")) == []
    assert (folder / LEDGER_NAME).read_bytes() == (
        folder.parent / "as it was"
    ).read_bytes()


def shared(factory: pytest.TempPathFactory) -> Path:
    """A folder that another user may reach."""
    folder = factory.mktemp("state") / "state"
    folder.mkdir()
    for parent in folder.parents:
        if parent.stat().st_uid == os.getuid() and parent != Path("/"):
            parent.chmod(parent.stat().st_mode | 0o011)
    return folder


def test_a_directory_in_its_place_is_no_damage_to_whoever_only_reads(
    tmp_path: Path,
) -> None:
    """It is named."""
    (tmp_path / LEDGER_NAME).mkdir()
    with pytest.raises(
        StateUnwritable, match="it is a directory, not a file; move it away"
    ):
        totals.read(tmp_path / LEDGER_NAME)
