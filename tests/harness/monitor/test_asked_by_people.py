"""What people ask for, carried out on a monitor whose neighbours are fakes."""

from pathlib import Path

import pytest

from auto_monitor.cli import commands
from auto_monitor.cli.command_handler import CommandHandler, Retries
from auto_monitor.cli.commands import Command, CommandKind
from tests.support.environment import PROJECT
from tests.support.monitor.harness import Harness


class Asked:
    """A monitor of two workers, and somebody who asks it for things."""

    def __init__(self, state_dir: Path) -> None:
        self.state_dir = state_dir
        self.harness = Harness(2)
        assert self.harness.monitor.begin()
        parts = self.harness.monitor.parts
        self.handler = CommandHandler(
            state_dir,
            parts.supervisor,
            parts.memory,
            parts.attempts,
            parts.action_log,
            Retries(state_dir, PROJECT, parts.action_log),
        )

    def ask(self, kind: CommandKind, worker_id: int) -> list[str]:
        """Leaves a command and has it carried out; returns what was said then."""
        before = len(self.harness.said.lines)
        commands.leave(self.state_dir, Command(kind, worker_id))
        assert self.handler.waiting()
        self.handler.carry_out()
        assert not self.handler.waiting()
        return self.harness.said.lines[before:]


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    """Both workers run."""
    made = Asked(tmp_path)
    assert [number for number, _ in made.harness.processes.started] == [1, 2]
    return made


def test_a_paused_worker_stays_so_until_it_is_resumed(asked: Asked) -> None:
    """Whatever else is asked for meanwhile."""
    processes = asked.harness.processes
    said = asked.ask(CommandKind.PAUSE, 1)
    assert "Pausing worker 1, as asked; its range goes to the others" in said
    assert processes.stopped == [1]
    assert "Worker 1 is paused already" in asked.ask(CommandKind.PAUSE, 1)
    said = asked.ask(CommandKind.RESTART, 1)
    assert "Worker 1 is paused: resume it instead of restarting it" in said
    asked.harness.rounds(5)
    assert sorted(processes.alive) == [2]
    assert "Worker 1: resumed, as asked" in asked.ask(CommandKind.RESUME, 1)
    asked.harness.rounds(5)
    assert sorted(processes.alive) == [1, 2]
    said = asked.ask(CommandKind.RESUME, 1)
    assert "Worker 1 is not paused: nothing to resume" in said


def test_a_restart_is_another_process(asked: Asked) -> None:
    """No attempt is counted for it."""
    processes = asked.harness.processes
    before = processes.alive[2]
    assert "Restarting worker 2, as asked" in asked.ask(CommandKind.RESTART, 2)
    assert (processes.stopped, processes.alive[2] != before) == ([2], True)
    assert asked.harness.history.entries() == []


@pytest.mark.parametrize("kind", [CommandKind.PAUSE, CommandKind.RESTART])
def test_a_worker_that_is_not_there(asked: Asked, kind: CommandKind) -> None:
    """Nothing is done, and that is said."""
    said = asked.ask(kind, 9)
    assert f"Worker 9 is none of ours now: no {kind.value}" in said
    assert asked.harness.processes.stopped == []


def test_what_is_no_command_is_removed(asked: Asked) -> None:
    """With a word."""
    folder = asked.state_dir / "commands"
    folder.mkdir(exist_ok=True)
    (folder / "x.json").write_text("{}")
    asked.handler.carry_out()
    assert list(folder.iterdir()) == []
    said = asked.harness.said.lines
    assert any("x.json is not a command and was removed" in line for line in said)
