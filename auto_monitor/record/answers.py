"""`auto_monitor/answers/`: the LLM's answers, a file for each question.

Reads and writes.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from auto_monitor.decide.diagnosis import Diagnosis
from auto_monitor.model import Candidate
from common import codec
from common.files import lock
from common.files.json_files import read_json, write_json


@dataclass(frozen=True, slots=True)
class Spent:
    """The cost of an answer: calls and tokens."""

    tokens: int = 0
    calls: int = 0


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """The result of one question.

    `error` is "" on success; `diagnosis` is kept even when its code was refused;
    `candidate` is a code fix that may be tried.
    """

    model: str = ""
    tokens: int = 0
    calls: int = 0
    error: str = ""
    diagnosis: Diagnosis | None = None
    candidate: Candidate | None = None


_converter = codec.converter()


def answers_dir(state_dir: Path) -> Path:
    """Returns the directory of the answers."""
    return state_dir / "auto_monitor" / "answers"


def write(path: Path, answer: StoredAnswer) -> None:
    """Replaces the file. Raises StateUnwritable or OutOfResources."""
    write_json(path, _converter.unstructure(answer))


def once(answer: Path, asked: Callable[[], StoredAnswer]) -> None:
    """Writes the answer, unless another job has answered the question meanwhile.

    The job of a monitor that was killed goes on: its answer is this one's too, and
    nobody pays twice or runs two gates for one question.
    """
    began = time.time()
    with lock.waiting(answer.with_suffix(".lock")):
        if not (answer.exists() and answer.stat().st_mtime >= began):
            write(answer, asked())


def read(path: Path) -> StoredAnswer | None:
    """Returns the answer; None if it is missing or invalid."""
    return codec.read_as(StoredAnswer, read_json(path), _converter)


def spent(path: Path) -> Spent:
    """Returns what this answer has cost; zero if that is unknown."""
    return codec.read_as(Spent, read_json(path), _converter) or Spent()
