"""`STATE_DIR/commands/`: one small file per wish of a person, carried out by the monitor at its next look."""

import uuid
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from migration.atomic import read_json, write_json
from migration.model import Json


class Wish(StrEnum):
    """What a person can ask for."""

    RESUME = "resume"  #: a paused worker: its attempts begin anew


@dataclass(frozen=True, slots=True)
class Command:
    """A wish and the worker it is about."""

    wish: Wish
    worker_id: int


def commands_dir(state_dir: Path) -> Path:
    """Where commands are left."""
    return state_dir / "commands"


def leave(state_dir: Path, command: Command) -> None:
    """Leaves a command for the monitor. Raises StateUnwritable."""
    value: Json = {"command": command.wish.value, "worker_id": command.worker_id}
    write_json(commands_dir(state_dir) / f"{command.wish.value}-{command.worker_id}-{uuid.uuid4().hex}.json", value)


def take(state_dir: Path) -> tuple[list[Command], list[str]]:
    """The commands that were left, and the names of files that are none; all are removed."""
    found, strange = [], []
    for path in sorted(commands_dir(state_dir).glob("[!.]*.json"), key=_left_at):
        command = _command(read_json(path))
        if command is None:
            strange.append(path.name)
        else:
            found.append(command)
        path.unlink(missing_ok=True)
    return found, strange


def _left_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _command(value: Json) -> Command | None:
    if not isinstance(value, dict) or not isinstance(value.get("worker_id"), int):
        return None
    try:
        return Command(Wish(str(value.get("command"))), int(str(value["worker_id"])))
    except ValueError:
        return None
