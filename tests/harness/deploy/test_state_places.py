"""The state directories of a machine, as their files, the index and the checkout
tell."""

import os
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from common import known_dirs
from common.known_dirs import Use
from common.state_dir import EMBEDDED, Place
from deploy.host import links
from migration.errors import LibraryBusy, LibraryUnreadable, StateDirUnclear
from migration.state_dirs import resolve
from migration.state_files.names import BACKUP_NAME, LEDGER_NAME
from migration.state_files.owner import WorkerLock, this_process
from tests.support.machine.placekit import NAS, Machine, ledger, shelf
from tests.support.migration.statekit import State


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """One without any state."""
    return Machine(tmp_path)


def test_nothing_is_there(machine: Machine) -> None:
    """A first start: a name of the library's folder, in a folder that is not made
    yet."""
    assert machine.real() == {}
    chosen = machine.chosen()
    assert (chosen.state_dir.parent, chosen.state_dir.name[:8]) == (
        machine.root,
        "Calibre-",
    )
    assert (chosen.place, chosen.note) == (None, "")
    assert not machine.root.exists()
    assert machine.chosen(None).state_dir != chosen.state_dir
    assert machine.chosen(f"{NAS}/").state_dir == chosen.state_dir


def test_a_directory_is_known_by_its_ledger(machine: Machine) -> None:
    """Whatever it is called, and whatever lies beside it."""
    mine = ledger(machine.root / "renamed")
    ledger(machine.root / "other", "id-2")
    (machine.root / "empty").mkdir()
    (machine.root / "a file").touch()
    assert set(machine.real()) == {mine, machine.root / "other"}
    assert machine.chosen().state_dir == mine
    assert machine.chosen(f"{NAS.upper()}/").place == machine.real()[mine]


def test_another_server_is_another_migration_and_said(machine: Machine) -> None:
    """It may be the same one at a new address; a name of this machine is no other."""
    mine = ledger(machine.root / "mine")
    new = "http://10.0.0.7:6006"
    chosen = machine.chosen(new)
    assert chosen.place is None
    assert chosen.note.startswith(f"This library was migrated to {NAS} before; ")
    assert "start once with --rebind" in chosen.note
    chosen.state_dir.mkdir()
    assert machine.chosen(new).note == ""
    assert machine.rebound(new).state_dir == mine
    assert machine.rebound(NAS).place == machine.real()[mine]
    local = ledger(machine.root / "local", "id-1", server="http://localhost:6006")
    assert machine.chosen("http://127.0.0.1:6006").state_dir == local
    with pytest.raises(StateDirUnclear, match="name the one that moved") as several:
        machine.rebound(new)
    assert f"--state-dir {local}   # " in str(several.value)


def test_there_is_nothing_to_rebind(machine: Machine) -> None:
    """No migration, only that of another library, or one to the embedded server."""
    ledger(machine.root / "other", "id-2")
    shelf(ledger(machine.root / "ours", server="http://127.0.0.1:9"), None)
    with pytest.raises(StateDirUnclear, match="that could have moved"):
        machine.rebound(NAS)


def test_a_ledger_without_its_own_word_is_known_by_its_backup(machine: Machine) -> None:
    """A damaged one is rebuilt by the next worker, in its place."""
    mine = ledger(machine.root / "mine", name=BACKUP_NAME)
    (mine / LEDGER_NAME).write_bytes(b"not a database" * 400)
    assert machine.chosen().state_dir == mine


def test_another_programs_database_is_no_ledger(machine: Machine) -> None:
    """It is left alone, and hinders nothing."""
    mine = machine.root / "mine"
    mine.mkdir(parents=True)
    with closing(sqlite3.connect(mine / LEDGER_NAME)) as db, db:
        db.execute("CREATE TABLE something (key TEXT)")
        db.execute("PRAGMA user_version = 3")
    assert machine.real()[mine].library_id == ""
    assert machine.chosen().place is None


def test_a_ledger_that_tells_nothing_is_known_by_the_progress(machine: Machine) -> None:
    """Which names library and server."""
    state = State(machine.checkout)
    state.worker(1, library=str(machine.library.root), server=NAS)
    (machine.checkout / LEDGER_NAME).write_bytes(b"not a database" * 400)
    chosen = machine.chosen()
    assert chosen.state_dir == machine.checkout
    assert "which an earlier version left there" in chosen.note


@pytest.mark.parametrize(
    ("record", "server", "embedded"),
    [
        ("http://127.0.0.1:4711", "http://127.0.0.1:4711", True),
        ("http://127.0.0.1:4711", NAS, False),
        ("http://127.0.0.1:4711", "http://127.0.0.1:6006", False),
        (None, "http://127.0.0.1:4711", True),
        (None, NAS, False),
    ],
    ids=[
        "its own",
        "another server",
        "another one on this host",
        "record lost",
        "record lost, another server",
    ],
)
def test_the_embedded_server_of_a_checkout(
    machine: Machine, record: str | None, server: str, embedded: bool
) -> None:
    """Its port is in the ledger; a start without --server goes on with it."""
    shelf(ledger(machine.checkout, server=server), record)
    [place] = machine.real().values()
    assert (place.server == EMBEDDED) is embedded
    assert (machine.chosen(None).state_dir == machine.checkout) is embedded
    # Named by its URL it is the same server.
    assert machine.chosen(server).state_dir == machine.checkout


def test_other_state_in_the_checkout_is_left_alone_and_said_once(
    machine: Machine,
) -> None:
    """It is another library's."""
    ledger(machine.checkout, "id-2")
    chosen = machine.chosen()
    assert chosen.state_dir.parent == machine.root
    assert f"this one is in {chosen.state_dir}" in chosen.note
    ledger(chosen.state_dir)
    assert machine.chosen().note == ""


def test_a_directory_elsewhere_is_found_by_the_index(
    machine: Machine, tmp_path: Path
) -> None:
    """As long as it is there; a damaged index begins anew."""
    mine = ledger(tmp_path / "mine")
    now = datetime.now(tz=UTC)
    known_dirs.note(
        machine.root, Use(mine, str(machine.library.root), "id-1", NAS, now)
    )
    known_dirs.note(machine.root, Use(tmp_path / "gone", "/x", "id-2", NAS, now))
    chosen = machine.chosen()
    assert (chosen.state_dir, chosen.note) == (
        mine,
        f"Going on with the state in {mine}.",
    )
    assert (
        machine.root.stat().st_mode & 0o777,
        (machine.root / "known.json").stat().st_mode & 0o777,
    ) == (0o700, 0o600)
    (machine.root / "known.json").write_text('{"used": [1, {"state_dir": 2}')
    assert machine.real() == {}
    known_dirs.note(machine.root, Use(mine, "", "", "", now))
    assert set(machine.real()) == {mine}


def test_a_directory_that_is_gone_is_not_forgotten_in_silence(
    machine: Machine, tmp_path: Path
) -> None:
    """Its disk may not be mounted; one whose ledger alone is gone goes on being
    used."""
    mine, now = tmp_path / "mine", datetime.now(tz=UTC)
    known_dirs.note(
        machine.root, Use(mine, str(machine.library.root), "id-1", NAS, now)
    )
    chosen = machine.chosen()
    assert chosen.state_dir.parent == machine.root
    assert f"was in {mine}, which is not there any more" in chosen.note
    assert machine.chosen("http://other").note == ""
    mine.mkdir()
    (mine / "monitor_state.json").touch()
    assert machine.chosen().state_dir == mine


def test_the_index_keeps_one_entry_each_the_newest_last(machine: Machine) -> None:
    """And not more than its bound."""
    for second in range(known_dirs.NEWEST + 5):
        use = Use(
            Path(f"/state/{second}"), "", "", "", datetime.fromtimestamp(second, tz=UTC)
        )
        known_dirs.note(machine.root, use)
    again = Use(
        Path("/state/50"), "/again", "id", NAS, datetime(2026, 1, 1, tzinfo=UTC)
    )
    known_dirs.note(machine.root, again)
    kept = known_dirs.read(machine.root)
    assert (len(kept), kept[-1], kept[0].state_dir) == (
        known_dirs.NEWEST,
        again,
        Path("/state/5"),
    )


def test_one_whose_worker_lives_is_meant(machine: Machine) -> None:
    """A lock alone proves nothing: whoever wrote it must live."""
    older, newer = (
        ledger(machine.root / "older"),
        ledger(machine.root / "newer", "id-2"),
    )
    os.utime(newer / LEDGER_NAME)
    os.utime(older / LEDGER_NAME, (1, 1))
    arguments = (machine.environment, machine.checkout, "command")
    assert resolve.for_command(*arguments) == newer
    (older / "migration_worker2.lock").write_text("boot|ns|1|1|2")
    (older / "migration_worker3.lock").touch()
    assert resolve.for_command(*arguments) == newer
    lock = WorkerLock(older, this_process(1))
    try:
        assert resolve.for_command(*arguments) == older
    finally:
        lock.release()


def test_the_library_of_a_command_counts(machine: Machine) -> None:
    """Not another one that was used last; its server need not be named."""
    mine = ledger(machine.root / "mine", server="http://elsewhere:1")
    ledger(machine.root / "other", "id-2")

    def found(server: str | None) -> Place | None:
        return resolve.for_library(
            machine.library.root, server, machine.environment, machine.checkout, "x"
        )

    place = found(None)
    assert place is not None
    assert (place.state_dir, place.server_url) == (mine, "http://elsewhere:1")
    assert found("http://elsewhere:1/") == place
    assert found(NAS) is None


def test_no_home(machine: Machine) -> None:
    """Nowhere to begin; what is in the checkout still goes on."""
    machine.environment = {}
    with pytest.raises(StateDirUnclear, match="give --state-dir DIR, or set STATE_DIR"):
        machine.chosen()
    ledger(machine.checkout)
    assert machine.chosen().state_dir == machine.checkout


def test_a_library_that_cannot_be_asked_for_its_id(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Locked, empty, or without an id: never a directory for an unknown library."""
    monkeypatch.setattr(resolve, "_BUSY_SECONDS", 0.05)
    with closing(
        sqlite3.connect(machine.library.root / "metadata.db", isolation_level=None)
    ) as db:
        db.execute("BEGIN EXCLUSIVE")
        with pytest.raises(LibraryBusy):
            machine.chosen()
        db.execute("ROLLBACK")
    machine.library.sql("DELETE FROM library_id")
    with pytest.raises(LibraryUnreadable, match="has no library id"):
        machine.chosen()
    (machine.library.root / "metadata.db").write_bytes(b"")
    with pytest.raises(LibraryUnreadable, match="is empty"):
        machine.chosen()


def test_a_crashed_writers_journal_hides_no_id(machine: Machine) -> None:
    """A WAL that cannot be opened where it lies is recovered in a copy; the library
    stays as it is."""
    database = machine.library.root / "metadata.db"
    with closing(sqlite3.connect(database)) as db:
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("UPDATE library_id SET uuid = 'newer'")
        db.commit()
        kept = {side: Path(f"{database}{side}").read_bytes() for side in ("", "-wal")}
    for side, data in kept.items():
        Path(f"{database}{side}").write_bytes(data)
    assert resolve.library_id_of(machine.library.root) == "newer"


# -- links -----------------------------------------------------------------------------


def test_links_are_moved_and_files_are_not(tmp_path: Path) -> None:
    """From one state directory to the next; what is no link of ours stays."""
    checkout, one, other = (tmp_path / name for name in ("checkout", "one", "other"))
    for folder in (checkout, one, other):
        folder.mkdir()
    for name in (
        "monitor.log",
        "migration_worker1.log",
        "migration_worker2.log",
        "auto_restart.log",
    ):
        (one / name).write_text("one")
    (checkout / "auto_restart.log").write_text("of an older version")
    (checkout / "auto_fix_history.json").symlink_to("/somewhere/else.json")
    names = [path.name for path in one.iterdir()]
    assert links.point(checkout, one, names) == {
        "auto_restart.log": "a file of an earlier run is in its place"
    }
    assert {path.name: path.resolve() for path in checkout.glob("m*")} == {
        name: one / name for name in names if name.startswith("m")
    }
    (other / "monitor.log").write_text("other")
    assert links.point(checkout, other, ["monitor.log", "auto_fix_history.json"]) == {}
    assert sorted(path.name for path in checkout.iterdir()) == [
        "auto_fix_history.json",
        "auto_restart.log",
        "monitor.log",
    ]
    assert (checkout / "monitor.log").read_text() == "other"
    assert (checkout / "auto_restart.log").read_text() == "of an older version"
    assert (
        str((checkout / "auto_fix_history.json").readlink()) == "/somewhere/else.json"
    )
    links.clear(checkout)
    assert not (checkout / "monitor.log").is_symlink()
    assert (one / "monitor.log").read_text() == "one"


def test_where_no_link_can_be_made(tmp_path: Path) -> None:
    """A file system without links: the reason, and nothing stops."""
    (tmp_path / "monitor.log").touch()
    problems = links.point(Path("/proc"), tmp_path, ["monitor.log"])
    assert list(problems) == ["monitor.log"]
    assert problems["monitor.log"]
