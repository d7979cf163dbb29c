"""`auto_monitor/answers/`: what the LLM answered, a file for each question; both
directions."""

from dataclasses import dataclass
from pathlib import Path

from auto_monitor.decide.diagnosis import Diagnosis
from auto_monitor.model import Candidate
from common import codec
from common.files.json_files import read_json, write_json


@dataclass(frozen=True, slots=True)
class Spent:
    """What an answer has cost: calls and tokens."""

    tokens: int = 0
    calls: int = 0


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """How one question went. `error` is "" when all went well; `diagnosis` is kept also
    when its code was refused; `candidate` is a code fix that may be tried."""

    model: str = ""
    tokens: int = 0
    calls: int = 0
    error: str = ""
    diagnosis: Diagnosis | None = None
    candidate: Candidate | None = None


_converter = codec.converter()


def answers_dir(state_dir: Path) -> Path:
    """Where answers are kept."""
    return state_dir / "auto_monitor" / "answers"


def write(path: Path, answer: StoredAnswer) -> None:
    """Replaces the file. Raises StateUnwritable, OutOfResources."""
    write_json(path, _converter.unstructure(answer))


def read(path: Path) -> StoredAnswer | None:
    """The answer; None when there is none, or the file has something else."""
    return codec.read_as(StoredAnswer, read_json(path), _converter)


def spent(path: Path) -> Spent:
    """What this answer has cost; nothing when nobody can tell."""
    return codec.read_as(Spent, read_json(path), _converter) or Spent()
