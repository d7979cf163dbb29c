"""`STATE_DIR/commands/`: one small file per user command.

The monitor carries them out at its next check.
"""

import os
import uuid
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from auto_monitor.record import json_files
from common import codec
from common.files.json_files import read_json, write_json
from common.json_value import Json
from migration.model import FileId

#: The most files that one command may name; for more, all are meant.
MOST_FILES = 500


class CommandKind(StrEnum):
    """What a user can ask for."""

    PAUSE = "pause"  #: stop a worker until it is resumed
    RESUME = "resume"  #: start a paused worker, its attempts reset
    RESTART = "restart"  #: restart a worker; not counted as an attempt
    RETRY = "retry"  #: make failed files pending again


@dataclass(frozen=True, slots=True)
class Command:
    """A command about a worker.

    For RETRY about failed files, all of them if none is named.
    """

    kind: CommandKind
    worker_id: int | None = None
    files: tuple[FileId, ...] = ()

    def __post_init__(self) -> None:
        if (self.worker_id is None) != (self.kind is CommandKind.RETRY):
            raise ValueError(
                f"{self.kind} is about {'files' if self.kind is CommandKind.RETRY else 'a worker'}"
            )
        if not all(map(_is_plausible, self.files)):
            raise ValueError(self.files)
        if len(self.files) > MOST_FILES or (
            self.files and self.kind is not CommandKind.RETRY
        ):
            raise ValueError(f"{self.kind} with {len(self.files)} files")


def _is_plausible(file: FileId) -> bool:
    """Whether the file can exist; a page may send anything."""
    kind = file.format
    return 0 <= file.book_id < 2**63 and 0 < len(kind) <= 40 and kind.isprintable()


_converter = json_files.make_converter()
codec.rename(_converter, Command, {"kind": "command"})


def commands_dir(state_dir: Path) -> Path:
    """Returns the directory where commands are left."""
    return state_dir / "commands"


def leave(state_dir: Path, command: Command) -> None:
    """Leaves a command for the monitor. Raises StateUnwritable."""
    about = "files" if command.worker_id is None else str(command.worker_id)
    name = f"{command.kind.value}-{about}-{uuid.uuid4().hex}.json"
    write_json(commands_dir(state_dir) / name, _converter.unstructure(command))


def waiting(state_dir: Path, besides: Collection[str] = ()) -> bool:
    """Whether a command is waiting, except files of these names.

    Cheap enough to ask every second.
    """
    try:
        with os.scandir(commands_dir(state_dir)) as found:
            return any(
                _is_one(entry.name) and entry.name not in besides for entry in found
            )
    except OSError:
        return False


def _is_one(name: str) -> bool:
    return name.endswith(".json") and not name.startswith(".")


@dataclass(frozen=True, slots=True)
class TakenCommands:
    """Commands left for the monitor, and what else lay in their place.

    That is, names of removed files that were no commands, and what cannot be removed,
    with the reason.
    """

    commands: Sequence[Command] = ()
    strange: Sequence[str] = ()
    stuck: Mapping[str, str] = field(default_factory=dict)


def take(state_dir: Path) -> TakenCommands:
    """Takes the commands that were left.

    A file that cannot be removed does not count, or it would be carried out for ever.
    """
    found, strange, stuck = [], [], {}
    for path in sorted(commands_dir(state_dir).glob("[!.]*.json"), key=_left_at):
        command = parse(read_json(path))
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            stuck[path.name] = error.strerror or str(error)
            continue
        if command is None:
            strange.append(path.name)
        else:
            found.append(command)
    return TakenCommands(found, strange, stuck)


def parse(value: Json) -> Command | None:
    """Parses a command from its file or from the page; None for anything else."""
    return codec.read_as(Command, value, _converter)


def _left_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0
