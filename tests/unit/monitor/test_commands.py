"""Commands that people leave, and the samples the monitor leaves: both directions."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from auto_monitor.cli import commands
from auto_monitor.cli.commands import Command, CommandKind
from auto_monitor.record import samples
from auto_monitor.record.samples import Sample
from common.json_value import Json
from migration.model import BookId, FileId

FILE = FileId(BookId(17), "EPUB")


@pytest.mark.parametrize(
    "command",
    [
        Command(CommandKind.PAUSE, 1),
        Command(CommandKind.RESUME, 2),
        Command(CommandKind.RESTART, 8),
        Command(CommandKind.RETRY),
        Command(CommandKind.RETRY, files=(FILE,)),
    ],
    ids=str,
)
def test_what_is_left_is_taken_once(tmp_path: Path, command: Command) -> None:
    """And nothing waits any more."""
    assert not commands.waiting(tmp_path)
    commands.leave(tmp_path, command)
    assert commands.waiting(tmp_path)
    assert commands.take(tmp_path) == commands.TakenCommands([command], [])
    assert not commands.waiting(tmp_path)
    assert commands.take(tmp_path) == commands.TakenCommands([], [])


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        5,
        {},
        {"command": "pause"},
        {"command": "pause", "worker_id": "1"},
        {"command": "pause", "worker_id": True},
        {"command": "explode", "worker_id": 1},
        {"command": "retry", "worker_id": 1},
        {"command": "retry", "files": "all"},
        {"command": "retry", "files": [[1]]},
        {"command": "retry", "files": [["1", "EPUB"]]},
        {"command": "retry", "files": [[1, "EPUB\n"]]},
        {"command": "retry", "files": [[1, ""]]},
        {"command": "retry", "files": [[-1, "EPUB"]]},
        {"command": "retry", "files": [[1, "EPUB"]] * 501},
        {"command": "pause", "worker_id": 1, "files": [[1, "EPUB"]]},
    ],
)
def test_nonsense_is_no_command(value: Json) -> None:
    """Whether a page or a file says it."""
    assert commands.parse(value) is None


def test_strange_files_are_named_and_removed(tmp_path: Path) -> None:
    """Half a file or something else."""
    commands.commands_dir(tmp_path).mkdir()
    (commands.commands_dir(tmp_path) / "x.json").write_text('{"command": "pa')
    assert commands.take(tmp_path) == commands.TakenCommands([], ["x.json"])
    assert not commands.waiting(tmp_path)


def sample(second: int = 0, pass_id: int = 1) -> Sample:
    """One moment."""
    return Sample(
        datetime(2026, 11, 24, 0, 0, second, tzinfo=UTC), pass_id, 5, 500, None, 4, 3
    )


def test_samples_of_a_pass_are_read_again(tmp_path: Path) -> None:
    """Those of another pass and torn lines are left out."""
    assert samples.read(tmp_path, 1) == []
    for one in (sample(1), sample(2, pass_id=2), sample(3)):
        samples.append(tmp_path, one)
    with (tmp_path / samples.NAME).open("ab") as file:
        file.write(b'{"schema": 1, "at": "2026')
    assert samples.read(tmp_path, 1) == [sample(1), sample(3)]


def test_samples_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two files of a fixed size, however long it runs."""
    monkeypatch.setattr(samples, "MAX_BYTES", 1000)
    for second in range(60):
        samples.append(tmp_path, sample(second))
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) < 2600
    assert samples.read(tmp_path, 1)[-1] == sample(59)


@given(
    st.binary()
    | st.recursive(
        st.none() | st.integers() | st.text(),
        lambda inner: st.dictionaries(st.text(), inner),
    )
)
def test_no_line_is_an_error(line: object) -> None:
    """Whatever is in the file."""
    data = line if isinstance(line, bytes) else json.dumps(line).encode()
    assert samples.parse(data) is None
