"""The nouns of supervision: frozen values without I/O.

Times are aware UTC datetimes. `now` of a decision is the monitor's steady clock
(`clock.SteadyClock`): the wall clock at its start plus what a monotonic clock has
counted since, so setting the clock moves nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from common.json_value import Json
from migration.model import FileId, Phase


def age(since: datetime, now: datetime) -> timedelta:
    """How long ago `since` was; never negative, so a clock that was set back makes
    nothing due."""
    return max(timedelta(), now - since)


# -- what is seen ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Identity:
    """One process: a pid alone names nobody, because pids are recycled.

    `birth` is what setting the clock does not move (`clock.birth_of`); "" when whoever
    wrote it down did not know."""

    pid: int
    started: datetime
    birth: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class InFlight:
    """What a worker had in hand: files, or else a range of book ids; and in which
    pass."""

    pass_id: int | None = None
    files: tuple[FileId, ...] = ()
    range: tuple[int, int] | None = None

    def __str__(self) -> str:
        if self.files:
            return "file " + ", ".join(str(file) for file in self.files)
        return f"books {self.range[0]}-{self.range[1]}" if self.range else "its start"


@dataclass(frozen=True, slots=True)
class WorkerSnapshot:
    """One worker at one look.

    `phase` is None before the process has written its first progress; `settled` says
    whether this process has settled a file; `progress_seen_at` is when work was last
    seen to move, `beat_seen_at` when the main thread was last seen to live; `exit_code`
    is known when the process ended as the monitor's child (negative: by that signal);
    `repeated_range` is a range that was read twice or more without a new one since;
    `fruitless_since` is when a file was last seen to arrive or to be under way, when
    files have failed since; `last_words` is the error that a worker that failed left in
    its progress file, by class and sentence, and `error_class` its class alone."""

    worker_id: int
    alive: bool
    progress_seen_at: datetime
    beat_seen_at: datetime
    phase: Phase | None = None
    settled: bool = False
    exit_code: int | None = None
    in_flight: InFlight = InFlight()
    repeated_range: str = ""
    all_failing_since: datetime | None = None
    last_words: str = ""
    error_class: str = ""

    @property
    def waits(self) -> bool:
        """Does it wait, for the server or for other workers?"""
        return self.phase is Phase.WAITING


class Health(StrEnum):
    """What `detection` says about one worker."""

    WORKING = "working"
    STUCK = "stuck"  #: the process is there, nothing moves
    STOPPED = "stopped"  #: the process is gone and should not be
    FINISHED = "finished"  #: it has done its part
    ENDED = "ended"  #: it ended with a status that a restart cannot mend (2, 4, 5, 7)


class Cause(StrEnum):
    """What speaks against a worker; NONE when nothing does."""

    NONE = ""
    NO_PROGRESS = "no_progress"
    NO_PROGRESS_AT_START = "no_progress_at_start"
    NO_SIGN_OF_LIFE = "no_sign_of_life"
    SAME_RANGE_AGAIN = "same_range_again"
    ALL_FAILING = "all_failing"
    EXIT_STATUS = "exit_status"
    SIGNAL = "signal"
    VANISHED = "vanished"


@dataclass(frozen=True, slots=True)
class Assessment:
    """The health of one worker, since when, and why: as a `cause`, and in words.

    `reason` is for people and may say for how long; `what` is the same without times.
    `crashed`: its own code failed. `away`: it ended because the server did not answer
    at its start. `all_failing`: it is busy, but every file fails, while the server
    answers; that may be the server's fault, or the library's, so such a worker is never
    paused."""

    worker_id: int
    health: Health
    since: datetime
    reason: str
    all_failing: bool = False
    crashed: bool = False
    away: bool = False
    cause: Cause = Cause.NONE
    what: str = ""

    @property
    def is_a_riddle(self) -> bool:
        """Is it worth asking why?"""
        return self.health is Health.STUCK or self.crashed


# -- what is remembered ----------------------------------------------------------------


class Trigger(StrEnum):
    """Why an attempt was made."""

    STUCK = "stuck"
    STOPPED = "stopped"
    ALL_FAILING = "all_failing"


@dataclass(frozen=True, slots=True)
class WorkerRecord:
    """What is remembered of one worker id that no attempt tells: its process, and what
    people decided.

    `wanted`: it counts towards the desired number; a worker that was scaled down does
    not. `paused_by_hand`: a person paused it, which is no attempt, so the history
    cannot say it."""

    worker_id: int
    wanted: bool = True
    identity: Identity | None = None
    exit_code: int | None = None
    suspect_since: datetime | None = None
    paused_by_hand: bool = False


@dataclass(frozen=True, slots=True)
class Candidate:
    """A changed script that has passed guard and gate.

    `name` and `backup` are files in `candidates/` and `backups/`; `before` and `after`
    the SHA-256 of the script it was made from and its own; `diff` the change;
    `validation` says in words how it did."""

    name: str
    backup: str
    before: str
    after: str
    diff: str
    validation: str


class CaseStage(StrEnum):
    """How far an attempt without a verdict is."""

    RECORDED = "recorded"  #: it is written down; nothing has been done yet
    # : the worker was started again, on the candidate where there is one
    STARTED = "started"
    PROMOTING = "promoting"  #: the candidate helped; it is being put in place


@dataclass(frozen=True, slots=True)
class Case:
    """An attempt without a verdict. It is kept in the attempt's history entry until
    there is one.

    `candidate` is the code fix on trial. `lost_before` is how many files of the range
    had failed or were skipped when the trial began; None when the worker hung on no
    range."""

    acted_at: datetime
    in_flight: InFlight
    stage: CaseStage = CaseStage.RECORDED
    candidate: Candidate | None = None
    lost_before: int | None = None


@dataclass(frozen=True, slots=True)
class CorrelatedFailure:
    """Half of the workers or more became suspect together: `lead` is treated alone
    until its verdict releases all.

    `lead` is None while nobody has been treated."""

    since: datetime
    lead: int | None = None
    released: bool = False


@dataclass(frozen=True, slots=True)
class MonitorState:
    """What survives a restart of the monitor besides the history: clocks, processes,
    and what people decided.

    `correlated_since` is when workers began to hang together; who leads them, and
    whether that helped, the history says."""

    desired: int
    target: int
    heartbeat_at: datetime
    check_interval: float = 60.0
    ended: str = ""
    disk_utilization: float | None = None
    last_scale_down_at: datetime | None = None
    last_scale_up_at: datetime | None = None
    pass_opened_at: datetime | None = None
    correlated_since: datetime | None = None
    workers: Mapping[int, WorkerRecord] = field(default_factory=dict)
    schema: int = 2


# -- what is decided -------------------------------------------------------------------


class Treatment(StrEnum):
    """What `healing` says is to be done about one worker now."""

    NONE = "none"
    RESTART = "restart"
    RESUME = "resume"  #: start again, which is no attempt: what it waited for is back
    PAUSE = "pause"  #: attempts are used up: a person is told
    HOLD = "hold"  #: something else is wrong, or it is not its turn
    WAIT = "wait"  #: for the server; said again and again, for it may take long


@dataclass(frozen=True, slots=True)
class HealingDecision:
    """One treatment with its reason in words."""

    worker_id: int
    treatment: Treatment
    reason: str


class Opinion(StrEnum):
    """The answer to: is the disk the root cause?"""

    PENDING = "pending"
    CONFIRMS = "confirms"
    DENIES = "denies"
    UNKNOWN = "unknown"
    FAILED = "failed"
    OFF = "off"


class ScalingAction(StrEnum):
    """What `scaling` says is to be done about the number of workers now."""

    KEEP = "keep"
    ASK = "ask"  #: the LLM, before one is stopped
    DOWN = "down"
    UP = "up"
    TRIM = "trim"  #: more run than desired


@dataclass(frozen=True, slots=True)
class ScalingDecision:
    """`desired` is the number of workers from now on; `worker_id` the one to stop or
    start."""

    action: ScalingAction
    desired: int
    reason: str
    worker_id: int | None = None


# -- what is recorded ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CodeChanges:
    """A code fix: the first lines, and all of it."""

    preview: str
    full: str


class Afterwards(StrEnum):
    """What became of a worker after its newest attempt; it says whether that still
    counts."""

    NOTHING = ""
    PAUSED = "paused"  #: its attempts were used up: it rests until a person resumes it
    RESUMED = "resumed"  #: by a person: its attempts begin anew
    RELEASED = "released"  #: scaled down, or another pass has begun: nothing of it counts any more


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One attempt, as `auto_fix_history.json` has it (DESIGN section 7); rewritten as
    its fields fill.

    `timestamp` is ISO 8601 UTC; `confidence` 0-1; `verified` None while it is not
    known; `evidence` the name of a file; `fingerprint` is what attempts against the
    same trouble have in common; `case` is there until the verdict; `correlated`:
    several workers hung together, and this one was treated alone first."""

    timestamp: str
    worker_id: int
    attempt: int
    trigger: str
    minutes_stuck: float
    status_before: str
    root_cause: str
    fix_type: str = "restart"
    confidence: float | None = None
    description: str = ""
    code_changes: CodeChanges | None = None
    config_changes: Mapping[str, Json] | None = None
    backup: str | None = None
    applied: bool = False
    validation: str | None = None
    verified: bool | None = None
    rolled_back: bool = False
    reason: str = ""
    llm_used: bool = False
    model: str | None = None
    tokens: int | None = None
    recurring: bool = False
    occurrences: int = 1
    evidence: str | None = None
    fingerprint: str = ""
    case: Case | None = None
    correlated: bool = False
    afterwards: Afterwards = Afterwards.NOTHING

    @property
    def is_open(self) -> bool:
        """Has it no verdict yet?"""
        return self.case is not None and self.verified is None and not self.reason

    @property
    def key(self) -> str:
        """What names this entry: one worker has one attempt at a time."""
        return f"{self.timestamp} {self.worker_id} {self.attempt}"


@dataclass(frozen=True, slots=True)
class Standing:
    """Where a worker stands, as its entries in the history say (`decide.healing`).

    `attempts` are those since the last one that helped; `paused`: they were used up.
    `parallel_uploads` and `batch_size` are what a CONFIG_FIX gave it, kept across
    restarts. `entry` is its attempt without a verdict."""

    attempts: int = 0
    last_attempt_at: datetime | None = None
    paused: bool = False
    parallel_uploads: int | None = None
    batch_size: int | None = None
    entry: HistoryEntry | None = None

    @property
    def case(self) -> Case | None:
        """The attempt without a verdict."""
        return None if self.entry is None else self.entry.case


def rests(record: WorkerRecord, standing: Standing) -> bool:
    """Is the worker paused: by a person, or because its attempts were used up?"""
    return record.paused_by_hand or standing.paused
