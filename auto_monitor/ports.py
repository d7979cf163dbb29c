"""What the monitor needs from outside.

`assembly` plugs in the real things, `tests/harness` fakes.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from auto_monitor.decide.diagnosis import Answer, Facts
from auto_monitor.model import (
    Assessment,
    Candidate,
    HistoryEntry,
    LibrarySeen,
    MonitorState,
    Opinion,
    ProcessIdentity,
    WorkerRecord,
    WorkerSnapshot,
)
from common.files.json_files import UNWRITABLE
from migration.ledger.arrivals import Baseline
from migration.ledger.totals import UNREADABLE, Totals
from migration.model import BookId, Fate, FileId

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Opened:
    """How the process that opens a pass ended: its exit status and its last words."""

    code: int
    said: str = ""


__all__ = [
    "UNREADABLE",  # what every question to the ledger raises
    "UNWRITABLE",  # what everything that writes a file raises
    "Alerts",
    "Clock",
    "Commands",
    "Diagnoser",
    "DiskMeter",
    "DiskProbe",
    "EvidenceStore",
    "History",
    "Incomparable",
    "LedgerReader",
    "LibraryProbe",
    "Observer",
    "Opened",
    "PassOpener",
    "Processes",
    "Reservations",
    "Script",
    "ServerProbe",
    "StateFile",
]


class Processes(Protocol):
    """The worker processes.

    A worker is identified by its identity, never by a pid alone.
    """

    def start(
        self,
        worker_id: int,
        *,
        script: Path | None = None,
        parallel_uploads: int | None = None,
        batch_size: int | None = None,
        retry_failed: bool = False,
    ) -> ProcessIdentity:
        """Starts worker N, by default with the installed script. Raises OSError."""
        ...

    def lives(self, identity: ProcessIdentity | None, worker_id: int) -> bool:
        """Whether worker N is alive, provably as this process."""
        ...

    def runs(self, identity: ProcessIdentity | None, worker_id: int, name: str) -> bool:
        """Whether worker N is alive and runs the script of this name."""
        ...

    def stop(self, identity: ProcessIdentity | None, worker_id: int) -> bool:
        """Ends worker N; returns False when it was not running."""
        ...

    def stop_all(self, identities: Mapping[int, ProcessIdentity | None]) -> None:
        """Ends these workers in parallel."""
        ...

    def reap(self) -> bool:
        """Whether a worker has ended since the last call."""
        ...

    def take_stack(
        self, identity: ProcessIdentity | None, worker_id: int, seconds: float
    ) -> str:
        """Returns the Python stacks of worker N; "" when it does not answer in time."""
        ...

    def time_is_up(self) -> bool:
        """Whether the time for the whole migration is over."""
        ...


class Observer(Protocol):
    """Observes workers from outside."""

    def found_by_hand(self) -> dict[int, ProcessIdentity]:
        """Returns every live worker of this state directory, however it was started."""
        ...

    def look(self, record: WorkerRecord, now: datetime) -> WorkerSnapshot:
        """Returns a snapshot of one worker."""
        ...


class ServerProbe(Protocol):
    """Checks whether the server answers."""

    @property
    def trouble(self) -> str:
        """Why it did not answer the last time, or ""."""
        ...

    def answers_now(self, now: datetime) -> bool:
        """Whether it answers at this moment."""
        ...

    def has_settled(self, now: datetime) -> bool:
        """Whether it has answered for so long that the workers must have noticed."""
        ...


class DiskMeter(Protocol):
    """Measures how busy the disk under the library is."""

    @property
    def trouble(self) -> str:
        """Why iostat gave no figure the last time, or ""."""
        ...

    def begin(self) -> None:
        """Starts a measurement in the background."""
        ...

    def utilization(self) -> float | None:
        """Returns the percentage of time the busiest disk was busy.

        Returns None when unknown.
        """
        ...

    def close(self) -> None:
        """Ends a running measurement."""
        ...


class DiskProbe(Protocol):
    """Checks whether the library's disk answers."""

    def answers(self, seconds: float) -> bool:
        """Whether it can be read within `seconds`."""
        ...


class LibraryProbe(Protocol):
    """Notices that somebody changes the library, without ever locking it."""

    def look(self) -> LibrarySeen:
        """Returns what is there now."""
        ...

    def stirred(self) -> bool:
        """Whether something was written on this machine since the last call."""
        ...

    def close(self) -> None:
        """Ends listening."""
        ...


class PassOpener(Protocol):
    """Opens a pass through a process of its own: the monitor never writes the ledger."""

    @property
    def runs(self) -> bool:
        """Whether it was started and its end has not been asked for."""
        ...

    def start(self) -> None:
        """Starts it. Raises OSError."""
        ...

    @property
    def over(self) -> bool:
        """Whether it has ended, or its time is over."""
        ...

    def result(self) -> Opened | None:
        """Returns how it ended; None while it runs. Never waits."""
        ...

    def close(self) -> None:
        """Ends it if it runs."""
        ...


class LedgerReader(Protocol):
    """What the workers have recorded. Every method raises what UNREADABLE lists."""

    def newest(self) -> Totals | None:
        """Returns the newest pass; None when there is none."""
        ...

    def proved(self, pass_id: int) -> bool:
        """Whether the rows of the pass agree with its counters."""
        ...

    def settled(
        self, pass_id: int, files: Sequence[FileId], first_id: int | None
    ) -> bool:
        """Whether these files have outcomes.

        Without files, whether the book's range is closed.
        """
        ...

    def baseline(self, pass_id: int, worker_id: int) -> Baseline:
        """Returns what has arrived until now, for a trial on worker N."""
        ...

    def since(self, then: Baseline, worker_id: int) -> Mapping[int, int]:
        """Returns the files that arrived since through worker N, by range."""
        ...

    def fates(
        self, pass_id: int, worker_id: int, files: Sequence[FileId]
    ) -> Mapping[FileId, Fate]:
        """Returns what became of these files, as seen from worker N."""
        ...

    def not_carried_in(self, pass_id: int, first_id: int, last_id: int) -> int:
        """Returns how many files of these books failed or were skipped."""
        ...

    def wrong_books(self, kinds: Collection[str]) -> Mapping[int, str]:
        """Returns the differences of these kinds that stand, of at most 100 books."""
        ...


class Incomparable(Exception):
    """What a trial has carried cannot be compared now; the message says why."""


class TrialComparer(Protocol):
    """Compares what a script on trial has carried with the server."""

    @property
    def busy(self) -> bool:
        """Whether a comparison is under way."""
        ...

    def differences(
        self, trial: str, pass_id: int, worker_id: int, besides: Collection[int] = ()
    ) -> str | None:
        """Returns what differs, "" for nothing; None while that is being found out.

        `trial` is the attempt's key; `besides` are books carried before it. Raises
        Incomparable; the next call tries again.
        """
        ...

    def close(self) -> None:
        """Ends what is still being found out."""
        ...


class History(Protocol):
    """All attempts ever made, one entry each: the durable record."""

    def begin(self, now: datetime) -> None:
        """Creates an empty history if there is none. Raises StateUnwritable."""
        ...

    def entries(self) -> list[HistoryEntry]:
        """Returns all entries, oldest first."""
        ...

    def record(self, entry: HistoryEntry, now: datetime) -> None:
        """Adds the entry, or replaces the one with the same key.

        Raises StateUnwritable or OutOfResources.
        """
        ...


class StateFile(Protocol):
    """Clocks, processes and users' decisions, kept across restarts."""

    @property
    def path(self) -> Path:
        """The path, for messages."""
        ...

    def read(self) -> MonitorState | None:
        """Returns the state; None when there is none or it cannot be read."""
        ...

    def load(self, now: datetime) -> tuple[MonitorState | None, str]:
        """Returns the state for a monitor that starts, and a warning or ""."""
        ...

    def taken_over(self, known: Sequence[HistoryEntry]) -> list[HistoryEntry]:
        """Returns entries for what an earlier version kept here, not in the history."""
        ...

    def write(self, state: MonitorState) -> None:
        """Replaces the state. Raises StateUnwritable or OutOfResources."""
        ...


class EvidenceStore(Protocol):
    """What attempts are based on, and changes that are left to a person."""

    def keep(self, assessment: Assessment, seen: WorkerSnapshot, stack: str) -> str:
        """Keeps what was known; returns the file's name.

        Raises StateUnwritable or OutOfResources.
        """
        ...

    def propose(self, worker_id: int, root_cause: str, code: str) -> str:
        """Keeps a proposed change; returns the file's name.

        Raises StateUnwritable or OutOfResources.
        """
        ...


class Script(Protocol):
    """The installed worker script, its candidates and backups."""

    @property
    def path(self) -> Path:
        """The script's path."""
        ...

    @property
    def name(self) -> str:
        """The script's file name."""
        ...

    def digest(self) -> str:
        """Returns the hash of the installed script; "" when it cannot be read."""
        ...

    @property
    def shipped(self) -> bool:
        """Whether the installed script is the released one."""
        ...

    def has(self, candidate: Candidate) -> bool:
        """Whether the candidate's file still exists."""
        ...

    def path_of(self, candidate: Candidate) -> Path:
        """Returns the path of the candidate."""
        ...

    def promote(self, candidate: Candidate) -> None:
        """Installs the candidate as the script, atomically; repeatable.

        Raises NotOurs or OSError.
        """
        ...

    def take_back(self, candidate: Candidate) -> None:
        """Puts the script before the candidate in place again; repeatable.

        Raises NotOurs or OSError.
        """
        ...

    def given_way(self) -> list[str]:
        """Returns the names of proposals that are code fixes of an earlier version."""
        ...

    def advice(self, commands: str) -> str:
        """How a person keeps or drops a changed script; `commands` of ours do so."""
        ...


class Reservations(Protocol):
    """Books reserved for the worker on which a candidate is tried."""

    def keep(self, pass_id: int, books: Collection[BookId], worker_id: int) -> None:
        """Reserves books for as long as a trial may take.

        Raises StateUnwritable or OutOfResources.
        """
        ...

    def clear(self) -> None:
        """Removes the reservation."""
        ...


class Alerts(Protocol):
    """Alerts people without blocking."""

    def tell(self, text: str, diff: str = "") -> None:
        """Reports that something is wrong, or was changed: with the `diff`."""
        ...

    def announce(self, text: str) -> None:
        """Reports that something ended well."""
        ...

    def finish(self, seconds: float) -> None:
        """Waits at most `seconds` for each alert that is being sent."""
        ...


class Commands(Protocol):
    """Commands from users."""

    def waiting(self) -> bool:
        """Whether a command is waiting."""
        ...

    def carry_out(self) -> None:
        """Carries out the commands left since the last check."""
        ...

    def finish(self) -> None:
        """Finishes or puts back commands when the monitor ends."""
        ...


class Diagnoser(Protocol):
    """Asks an LLM without ever blocking.

    An answer that is not there yet is pending, and asked for again at the next check.
    """

    def asked(self, worker_id: int) -> bool:
        """Whether a question about this worker has been asked, answered or not."""
        ...

    def diagnose(self, facts: Facts) -> Answer:
        """Returns why this worker hangs and what would help."""
        ...

    @property
    def trouble(self) -> str | None:
        """Why the LLM does not answer, "" when it does; None while it is not known."""
        ...

    def disk_is_the_cause(self, facts: Facts) -> Opinion:
        """Returns whether the saturated disk is the reason why it hangs."""
        ...

    def forget(self, worker_id: int) -> None:
        """Drops what was asked about a worker whose trouble is over or has changed."""
        ...

    def finish(self) -> None:
        """Ends what still runs."""
        ...
