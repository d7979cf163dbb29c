"""The monitor's own files damaged, replaced, not writable: said, and nobody is paused
or left alone for it."""

import json
import os
import shutil
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from auto_monitor.cli import commands
from auto_monitor.cli.daemon import (
    AlreadyRunning,
    MonitorLock,
    alive,
    pid_path,
    recorded,
)
from auto_monitor.model import HistoryEntry, MonitorState
from auto_monitor.record.history import HistoryFile, to_json
from auto_monitor.record.memory import Memory
from auto_monitor.record.state_file import MonitorStateFile
from common.files import lock as locks

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
ENTRY = HistoryEntry(NOW.isoformat(), 2, 1, "stuck", 6.1, "migrating", "no progress")


def truncated(path: Path) -> None:
    """In the middle."""
    path.write_bytes(path.read_bytes()[:-7])


def emptied(path: Path) -> None:
    """Of no length."""
    path.write_bytes(b"")


def overwritten(path: Path) -> None:
    """With anything."""
    path.write_bytes(os.urandom(512))


def another_shape(path: Path) -> None:
    """JSON of somebody else."""
    path.write_text('{"desired": "many"}')


def a_directory(path: Path) -> None:
    """With something in it."""
    path.unlink()
    path.mkdir()
    (path / "x").write_text("kept")


DAMAGES = [truncated, emptied, overwritten, another_shape, a_directory]
named = pytest.mark.parametrize(
    "damage", DAMAGES, ids=lambda damage: str(damage.__name__)
)


@named
def test_a_damaged_history_is_set_aside_with_a_word(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    """At the start or in mid-run; what was there is kept beside it."""
    said: list[str] = []
    history = HistoryFile(tmp_path / "auto_fix_history.json", tell=said.append)
    history.begin(NOW)
    history.record(ENTRY, NOW)
    assert said == []
    damage(history.path)
    assert history.entries() == []
    history.record(ENTRY, NOW)
    assert json.loads(history.path.read_bytes()) == [to_json(ENTRY)]
    (word,) = said
    assert (
        "it is now auto_fix_history.damaged-20261124T120000.json, and a new one is begun"
        in word
    )
    assert (tmp_path / "auto_fix_history.damaged-20261124T120000.json").exists()
    damage(history.path)
    history.begin(NOW.replace(hour=13))
    assert json.loads(history.path.read_bytes()) == []
    assert len(said) == 2


@named
def test_a_damaged_state_is_set_aside_with_a_word(
    tmp_path: Path, damage: Callable[[Path], None]
) -> None:
    """At the start; in mid-run it is written again."""
    file = MonitorStateFile(tmp_path / "monitor_state.json")
    said: list[str] = []
    memory = Memory(MonitorState(4, 4, NOW), file, writes=True, tell=said.append)
    assert memory.save()
    damage(file.path)
    state, word = file.load(NOW)
    assert state is None
    assert "it is now monitor_state.damaged-20261124T120000.json" in word
    assert memory.save()
    damage(file.path)
    assert memory.save()
    found = file.read()
    assert found is not None
    assert found.desired == 4
    assert said == []


def test_a_state_that_cannot_be_written_is_said_once_and_stops_nothing(
    tmp_path: Path,
) -> None:
    """And once more when it can be again."""
    folder = tmp_path / "gone"
    said: list[str] = []
    memory = Memory(
        MonitorState(4, 4, NOW),
        MonitorStateFile(folder / "monitor_state.json"),
        writes=True,
        tell=said.append,
    )
    folder.write_text("in its place")
    assert not memory.save()
    assert not memory.save()
    assert len(said) == 1
    assert "goes on with what it remembers" in said[0]
    folder.unlink()
    assert memory.save()
    assert said[1:] == [f"{folder / 'monitor_state.json'} is written again"]


def test_the_pid_file_is_put_back(tmp_path: Path) -> None:
    """Removed, replaced, overwritten: a second monitor is refused all the same."""
    lock = MonitorLock(tmp_path)
    me = recorded(tmp_path)
    assert me is not None
    path = pid_path(tmp_path)
    for damage in (path.unlink, lambda: path.write_text("x"), lambda: _swap(path)):
        damage()
        lock.keep()
        assert recorded(tmp_path) == me
        with pytest.raises(AlreadyRunning):
            MonitorLock(tmp_path)
    lock.release()
    assert not path.exists()


def test_a_monitor_in_another_container_is_known_by_its_lock(tmp_path: Path) -> None:
    """Its pid is nobody's here, or this process's, which is no monitor."""
    lock = MonitorLock(tmp_path)
    me = recorded(tmp_path)
    assert me is not None
    assert alive(tmp_path) == me
    # The kernel's lock is the proof: a file that was left behind is none.
    left = pid_path(tmp_path).read_bytes()
    lock.release()
    pid_path(tmp_path).write_bytes(left)
    assert alive(tmp_path) is None


def test_a_look_at_the_lock_keeps_no_monitor_away(tmp_path: Path) -> None:
    """The page asks every second who has it, and then has it for a moment itself."""
    pid_path(tmp_path).touch()
    looks = locks.take(pid_path(tmp_path))
    assert looks is not None
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(MonitorLock, tmp_path)
        os.close(looks)
        starting.result(30).release()


def _swap(path: Path) -> None:
    """Another file in its place."""
    copy = path.with_name("copy")
    shutil.copy(path, copy)
    copy.replace(path)


def test_a_monitor_whose_place_is_taken_ends_and_leaves_the_file_to_the_other(
    tmp_path: Path,
) -> None:
    """Its file was removed, and another one was quicker."""
    first = MonitorLock(tmp_path)
    pid_path(tmp_path).unlink()
    second = MonitorLock(tmp_path)
    with pytest.raises(AlreadyRunning):
        first.keep()
    first.release()
    assert pid_path(tmp_path).exists()
    second.keep()
    second.release()


def test_a_command_that_cannot_be_removed_is_not_carried_out(tmp_path: Path) -> None:
    """It would be, again and again; the others are."""
    kind = commands.Command(commands.CommandKind.PAUSE, 1)
    commands.leave(tmp_path, kind)
    stuck = commands.commands_dir(tmp_path) / "resume-1-x.json"
    stuck.mkdir()
    taken = commands.take(tmp_path)
    assert (list(taken.commands), list(taken.strange), taken.stuck) == (
        [kind],
        [],
        {stuck.name: "Is a directory"},
    )
    assert commands.waiting(tmp_path)
    assert not commands.waiting(tmp_path, taken.stuck)
