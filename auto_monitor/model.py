"""The nouns of supervision: frozen values without I/O.

Times are timezone-aware UTC datetimes. `now` of a decision is the monitor's steady
clock (`clock.SteadyClock`): the wall clock at its start plus what a monotonic clock has
counted since, so that setting the clock has no effect.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum

from auto_monitor.usage import Leak
from common.json_value import Json
from migration.ledger.arrivals import Baseline
from migration.model import FileId, Phase


def age(since: datetime, now: datetime) -> timedelta:
    """Returns how long ago `since` was; never negative.

    A clock that was set back makes nothing due.
    """
    return max(timedelta(), now - since)


# -- observations ----------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ProcessIdentity:
    """One process. A pid alone does not identify it, because pids are recycled.

    `birth` is not affected by setting the clock (`clock.birth_of`); "" when it was not
    known when the identity was written.
    """

    pid: int
    started: datetime
    birth: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class InFlight:
    """What a worker had in flight: files, or else a range of book ids, and the pass."""

    pass_id: int | None = None
    files: tuple[FileId, ...] = ()
    range: tuple[int, int] | None = None

    def __str__(self) -> str:
        if self.files:
            return "file " + ", ".join(str(file) for file in self.files)
        return f"books {self.range[0]}-{self.range[1]}" if self.range else "its start"


@dataclass(frozen=True, slots=True)
class WorkerSnapshot:
    """One worker at one check.

    `phase` is None before the process has written its first progress; `settled` says
    whether this process has settled a file; `progress_seen_at` is when work was last
    seen to move, `beat_seen_at` when the main thread was last seen alive; `exit_code`
    is known when the process ended as the monitor's child (negative: by that signal);
    `repeated_range` is a range that was read twice or more without a new one since;
    `all_failing_since` is when a file was last seen to arrive or to be in flight, if
    files have failed since; `last_words` is the error, with class and message, that a
    failed worker left in its progress file, and `error_class` its class alone; `crash`
    are the frames of an unforeseen one, a line each, as the worker's substrate wrote
    them; `fruitless` is how many files in a row have failed without a reason that
    anybody gave; `quiet_since`, of one that has waited since it last got on: since when
    nothing shows what for; `leak` is what it will run out of, `growing` whether
    anything it uses grows steadily, None while that is not known;
    `killed_for_memory`: by the kernel.
    """

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
    fruitless: int = 0
    quiet_since: datetime | None = None
    leak: Leak | None = None
    growing: bool | None = None
    killed_for_memory: bool = False
    crash: str = ""

    @property
    def waits(self) -> bool:
        """Whether it is waiting for the server or for other workers."""
        return self.phase is Phase.WAITING


class Health(StrEnum):
    """What `detection` says about one worker."""

    WORKING = "working"
    STUCK = "stuck"  #: the process exists but makes no progress
    STOPPED = "stopped"  #: the process is gone but should not be
    FINISHED = "finished"  #: its work is done
    ENDED = "ended"  #: ended with a status that a restart cannot fix (2, 4, 5, 7)


class Cause(StrEnum):
    """What was found wrong with a worker; NONE when nothing."""

    NONE = ""
    NO_PROGRESS = "no_progress"
    NO_PROGRESS_AT_START = "no_progress_at_start"
    NO_SIGN_OF_LIFE = "no_sign_of_life"
    SAME_RANGE_AGAIN = "same_range_again"
    ALL_FAILING = "all_failing"
    ALL_WAITING = "all_waiting"
    LEAK_OF_MEMORY = "leak_of_memory"
    LEAK_OF_FILES = "leak_of_files"
    OUT_OF_MEMORY = "out_of_memory"
    OUT_OF_FILES = "out_of_files"
    ENDLESS_RECURSION = "endless_recursion"
    EXIT_STATUS = "exit_status"
    SIGNAL = "signal"
    VANISHED = "vanished"


@dataclass(frozen=True, slots=True)
class Assessment:
    """The health of one worker, since when, and why: as a `cause`, and in words.

    `reason` is for people and may include a duration; `what` is the same without times.
    `crashed`: its own code failed. `away`: it ended because the server did not answer
    at its start. `all_failing`: it is busy, but every file fails while the server
    answers; that may be the fault of the server or the library, so such a worker is
    never paused.
    """

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
    def leaks(self) -> bool:
        """Whether it works, but will run out of something."""
        return self.cause in (Cause.LEAK_OF_MEMORY, Cause.LEAK_OF_FILES)

    @property
    def is_a_riddle(self) -> bool:
        """Whether it is worth asking for the cause."""
        return self.is_suspect or self.crashed

    @property
    def is_suspect(self) -> bool:
        """Whether it hangs, or has left because file after file failed."""
        return self.health is Health.STUCK or (
            self.health is Health.STOPPED and self.cause is Cause.ALL_FAILING
        )


# -- memory ----------------------------------------------------------------------------


class Trigger(StrEnum):
    """Why an attempt was made."""

    STUCK = "stuck"
    STOPPED = "stopped"
    ALL_FAILING = "all_failing"
    LEAKING = "leaking"
    #: the audit of a pass found a difference between Calibre and the server
    WRONG_RESULT = "wrong_result"
    #: a person has put a proposed change in place
    BY_HAND = "by_hand"


@dataclass(frozen=True, slots=True)
class WorkerRecord:
    """What is remembered of a worker besides its attempts: process, user decisions.

    `wanted` means that it counts towards the desired number; a worker that was scaled
    down does not. `paused_by_hand` means that a user paused it, which is not an attempt
    and so not in the history. `script` is the SHA-256 of the script that its process was
    started with, "" when a user started it.
    """

    worker_id: int
    wanted: bool = True
    identity: ProcessIdentity | None = None
    exit_code: int | None = None
    suspect_since: datetime | None = None
    paused_by_hand: bool = False
    #: What is wrong with a suspect one, without times.
    suspect_of: str = ""
    script: str = ""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A changed script that has passed guard and gate.

    `name` and `backup` are files in `candidates/` and `backups/`; `before` and `after`
    are the SHA-256 of the script it was made from and of its own; `diff` is the change;
    `validation` describes the gate's result.
    """

    name: str
    backup: str
    before: str
    after: str
    diff: str
    validation: str


class CaseStage(StrEnum):
    """The stage of an attempt without a verdict."""

    RECORDED = "recorded"  #: recorded, but not acted on yet
    #: the worker was started again, with the candidate if there is one
    STARTED = "started"
    PROMOTING = "promoting"  #: the candidate helped and is being installed
    #: the verdict is there, and the candidate is in place: until the pass is closed the
    #: same trouble takes it back
    PROBATION = "probation"


@dataclass(frozen=True, slots=True)
class Case:
    """An attempt without a verdict, kept in its history entry until there is one.

    `candidate` is the code fix on trial; what arrives is counted from `baseline` on.
    `awaited` are the files it hung on that had no outcome then, `lost_before` how many
    files of the range had failed or were skipped; None when it hung on no range.
    """

    acted_at: datetime
    in_flight: InFlight
    stage: CaseStage = CaseStage.RECORDED
    candidate: Candidate | None = None
    lost_before: int | None = None
    baseline: Baseline | None = None
    awaited: tuple[FileId, ...] = ()


@dataclass(frozen=True, slots=True)
class CorrelatedFailure:
    """Half of the workers or more became suspect together.

    `lead` is treated alone until its verdict releases all; it is None before one is
    treated.
    """

    since: datetime
    lead: int | None = None
    released: bool = False


@dataclass(frozen=True, slots=True)
class LibrarySeen:
    """The library's database at one look.

    `mark` changes whenever its files do. It is "" when they cannot be used now, for the
    reason in `trouble`.
    """

    mark: str = ""
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class WatchRecord:
    """What `--watch` shows, and what of it survives a restart.

    `carried` is the library's mark when the newest pass was opened, "" when that is not
    known; `asked` stands for the settings of its workers. `every` is in seconds; times
    are the wall clock's. `found` is what the last look found, `trouble` what stands in
    the way, each in words.
    """

    every: float
    carried: str = ""
    asked: str = ""
    looked_at: datetime | None = None
    next_look_at: datetime | None = None
    found: str = ""
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class MonitorState:
    """The state that survives a restart, besides the history.

    That is clocks, processes and users' decisions. `correlated_since` is when workers
    began to hang together; the history shows who leads them, and whether that helped.
    """

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
    #: None when the monitor ends with the pass.
    watch: WatchRecord | None = None
    #: What people read of a changed worker script, "" while the released one is in place.
    changed_script: str = ""
    #: Why the LLM does not answer, "" when it does; None when nobody has asked it.
    llm: str | None = None
    #: The code fixes of an earlier version of which a person was told that they are kept.
    told_given_way: tuple[str, ...] = ()
    schema: int = 2


# -- decisions -------------------------------------------------------------------------


class Treatment(StrEnum):
    """What `healing` decides about one worker."""

    NONE = "none"
    RESTART = "restart"
    RESUME = "resume"  #: restart, not an attempt: what it waited for is back
    PAUSE = "pause"  #: no attempts left: send an alert
    HOLD = "hold"  #: something else is wrong, or other workers come first
    WAIT = "wait"  #: for the server; logged repeatedly, since it may take long


@dataclass(frozen=True, slots=True)
class HealingDecision:
    """One treatment with its reason in words."""

    worker_id: int
    treatment: Treatment
    reason: str


class Opinion(StrEnum):
    """The answer to whether the disk is the root cause."""

    PENDING = "pending"
    CONFIRMS = "confirms"
    DENIES = "denies"
    UNKNOWN = "unknown"
    FAILED = "failed"
    OFF = "off"


class ScalingAction(StrEnum):
    """What `scaling` decides about the number of workers."""

    KEEP = "keep"
    ASK = "ask"  #: ask the LLM before stopping one
    DOWN = "down"
    UP = "up"
    TRIM = "trim"  #: more are running than desired


@dataclass(frozen=True, slots=True)
class ScalingDecision:
    """A change of the number of workers.

    `desired` is the number from now on; `worker_id` is the one to stop or start.
    """

    action: ScalingAction
    desired: int
    reason: str
    worker_id: int | None = None


# -- history ---------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class CodeChanges:
    """A code fix: its first lines, and all of it."""

    preview: str
    full: str


class Afterwards(StrEnum):
    """What happened to a worker after its newest attempt, which may invalidate that."""

    NOTHING = ""
    PAUSED = "paused"  #: its attempts were used up: it rests until a person resumes it
    RESUMED = "resumed"  #: by a person: its attempts begin anew
    RELEASED = "released"  #: scaled down, or another pass has begun: nothing of it counts any more


@dataclass(frozen=True, slots=True)
class HistoryEntry:
    """One attempt in `auto_fix_history.json` (DESIGN section 7).

    It is rewritten as its fields are filled. `timestamp` is ISO 8601 UTC; `confidence`
    is 0-1; `verified` is None while not known; `tokens` and `calls` are what the LLM's
    answer has cost this attempt, nothing when another's was used; `evidence` is the name of a file;
    `fingerprint` is what attempts against the same trouble have in common; `case` is
    there until the verdict, and for a promoted code fix until its probation is over;
    `correlated` means that several workers hung together and this one was treated alone
    first. `script_before` and `script_after` are the SHA-256 of the worker script
    without and with a code fix; `promoted` means that it was put in place; `stack` is
    where its candidate was when it was dropped.
    """

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
    script_before: str | None = None
    script_after: str | None = None
    applied: bool = False
    validation: str | None = None
    verified: bool | None = None
    promoted: bool = False
    rolled_back: bool = False
    reason: str = ""
    llm_used: bool = False
    model: str | None = None
    tokens: int | None = None
    calls: int | None = None
    recurring: bool = False
    occurrences: int = 1
    evidence: str | None = None
    fingerprint: str = ""
    stack: str = ""
    case: Case | None = None
    correlated: bool = False
    afterwards: Afterwards = Afterwards.NOTHING

    @property
    def is_open(self) -> bool:
        """Whether it has no verdict yet."""
        return self.case is not None and self.verified is None and not self.reason

    @property
    def key(self) -> str:
        """Identifies this entry: a worker has one attempt at a time."""
        return f"{self.timestamp} {self.worker_id} {self.attempt}"


@dataclass(frozen=True, slots=True)
class WorkerStanding:
    """The standing of a worker, from its entries in the history (`decide.healing`).

    `attempts` are those since the last one that helped; `paused` means that they were
    used up. `parallel_uploads` and `batch_size` are what a CONFIG_FIX gave it, kept
    across restarts. `entry` is its attempt without a verdict.
    """

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


def rests(record: WorkerRecord, standing: WorkerStanding) -> bool:
    """Whether the worker is paused, by a user or because its attempts were used up."""
    return record.paused_by_hand or standing.paused
