"""A whole monitor in one process: every neighbour is a fake, and time moves when
told."""

import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from auto_monitor.act.assembly import ActedOn
from auto_monitor.assembly import World, parts_of
from auto_monitor.cli.command_line import Settings
from auto_monitor.config import Policies
from auto_monitor.decide.detection import DetectionPolicy
from auto_monitor.decide.diagnosis import Answer, Facts
from auto_monitor.decide.healing import HealingPolicy
from auto_monitor.decide.scaling import ScalingPolicy
from auto_monitor.decide.watching import WatchPolicy
from auto_monitor.fix_applier import NotOurs
from auto_monitor.model import (
    Assessment,
    Candidate,
    Case,
    HistoryEntry,
    InFlight,
    LibrarySeen,
    MonitorState,
    Opinion,
    ProcessIdentity,
    WorkerRecord,
    WorkerSnapshot,
)
from auto_monitor.monitor import Monitor
from auto_monitor.observe.assembly import Observed
from auto_monitor.ports import Incomparable, Opened
from auto_monitor.record.action_log import ActionLog
from auto_monitor.record.assembly import MonitorFiles
from auto_monitor.record.history import Cases
from auto_monitor.record.samples import Sample
from common.files.json_files import StateUnwritable
from migration.ledger.arrivals import Baseline
from migration.ledger.totals import Totals
from migration.model import BookId, Counts, Fate, FileId, Phase
from tests.support.migration.fakes import ToldClock

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
POLICIES = Policies(
    detection=DetectionPolicy(5 * MINUTE, 20 * MINUTE),
    healing=HealingPolicy(3, 10 * MINUTE, 2 * MINUTE, 20 * MINUTE, window=5 * MINUTE),
    scaling=ScalingPolicy(4, 1, 8, 90, 50, 5 * MINUTE, 10 * MINUTE),
    closing=MINUTE / 2,
    scale_every=MINUTE,
    measuring=timedelta(seconds=2),
    probe_seconds=1,
    stack_seconds=1,
)
OPEN = Totals(7, NOON, None, Counts(100, 40, 0, 0, 0, 60), 0, {}, {}, 0, 1000, 500)
FILE = FileId(BookId(12), "EPUB")
HAND = InFlight(7, (FILE,), (1, 100))
CANDIDATE = Candidate(
    "bulk_migrate_calibre.x.py",
    "backup",
    "shipped",
    "repaired",
    "-a\n+b",
    "passed the gate",
)


class Died(Exception):
    """The monitor is killed here."""


@dataclass
class Writes:
    """Counts what is done to anything durable: files, processes, reservations, the
    script. `dies_after` so many the monitor is killed."""

    done: int = 0
    dies_after: int | None = None

    def one(self) -> None:
        """One more."""
        self.done += 1
        if self.done == self.dies_after:
            raise Died


@dataclass
class FakeProcesses:
    """Workers as identities; what each runs is noted. `clock` gives them their start
    times."""

    clock: ToldClock
    alive: dict[int, ProcessIdentity] = field(default_factory=dict)
    scripts: dict[int, str] = field(default_factory=dict)
    exits: dict[int, int] = field(default_factory=dict)
    started: list[tuple[int, str]] = field(default_factory=list)
    stopped: list[int] = field(default_factory=list)
    settings: dict[int, tuple[int | None, int | None]] = field(default_factory=dict)
    retrying: set[int] = field(default_factory=set)
    refuses: bool = False
    time_up: bool = False
    stack: str = ""
    all: Writes = field(default_factory=Writes)

    def start(
        self,
        worker_id: int,
        *,
        script: Path | None = None,
        parallel_uploads: int | None = None,
        batch_size: int | None = None,
        retry_failed: bool = False,
    ) -> ProcessIdentity:
        """A new process each time."""
        if self.refuses:
            raise OSError(11, "Resource temporarily unavailable")
        name = script.name if script is not None else "bulk_migrate_calibre.py"
        self.started.append((worker_id, name))
        self.scripts[worker_id], self.settings[worker_id] = (
            name,
            (parallel_uploads, batch_size),
        )
        self.alive[worker_id] = ProcessIdentity(
            1000 + len(self.started), self.clock(), f"birth {len(self.started)}"
        )
        self.exits.pop(worker_id, None)
        if retry_failed:
            self.retrying.add(worker_id)
        self.all.one()
        return self.alive[worker_id]

    def lives(self, identity: ProcessIdentity | None, worker_id: int) -> bool:
        """By identity."""
        return identity is not None and self.alive.get(worker_id) == identity

    def runs(self, identity: ProcessIdentity | None, worker_id: int, name: str) -> bool:
        """The script of its last start."""
        return self.lives(identity, worker_id) and self.scripts[worker_id] == name

    def stop(self, identity: ProcessIdentity | None, worker_id: int) -> bool:
        """Gone at once."""
        if not self.lives(identity, worker_id):
            return False
        self.end(worker_id, -15)
        self.stopped.append(worker_id)
        self.all.one()
        return True

    def end(self, worker_id: int, exit_code: int) -> None:
        """The process ends."""
        del self.alive[worker_id]
        self.exits[worker_id] = exit_code

    def stop_all(self, identities: Mapping[int, ProcessIdentity | None]) -> None:
        """One after the other."""
        for number, identity in identities.items():
            self.stop(identity, number)

    def reap(self) -> bool:
        """Nothing is left to be noticed."""
        return False

    def take_stack(
        self, identity: ProcessIdentity | None, worker_id: int, seconds: float
    ) -> str:
        """The one that was set."""
        return self.stack if self.lives(identity, worker_id) else ""

    def time_is_up(self) -> bool:
        """As set."""
        return self.time_up


@dataclass
class FakeObserver:
    """Workers that get on, until they are told to hang, to fail or to be in another
    phase."""

    processes: FakeProcesses
    clock: ToldClock
    hangs: dict[int, datetime] = field(default_factory=dict)
    failing: dict[int, datetime] = field(default_factory=dict)
    phases: dict[int, Phase] = field(default_factory=dict)
    error_class: dict[int, str] = field(default_factory=dict)
    fruitless: dict[int, int] = field(default_factory=dict)

    def found_by_hand(self) -> dict[int, ProcessIdentity]:
        """Each has written its progress."""
        return dict(self.processes.alive)

    def look(self, record: WorkerRecord, now: datetime) -> WorkerSnapshot:
        """One worker."""
        number = record.worker_id
        alive = self.processes.lives(record.identity, number)
        moved = self.hangs.get(number, now)
        return WorkerSnapshot(
            worker_id=number,
            alive=alive,
            progress_seen_at=moved,
            beat_seen_at=moved,
            phase=self.phases.get(number, Phase.MIGRATING),
            settled=True,
            exit_code=None if alive else self.processes.exits.get(number),
            in_flight=HAND,
            all_failing_since=self.failing.get(number),
            error_class=self.error_class.get(number, ""),
            fruitless=self.fruitless.get(number, 0),
        )


@dataclass
class FakeServer:
    """A server that is there or not; `settled`: long enough."""

    here: bool = True
    settled: bool = True
    trouble: str = ""

    def answers_now(self, now: datetime) -> bool:
        """As set."""
        self.trouble = "" if self.here else "connection refused"
        return self.here

    def has_settled(self, now: datetime) -> bool:
        """As set."""
        return self.settled


@dataclass
class FakeDisk:
    """The meter and the probe in one."""

    busy: float | None = 60.0
    there: bool = True
    trouble: str = ""

    def begin(self) -> None:
        """Nothing has to be measured."""

    def utilization(self) -> float | None:
        """As set."""
        return self.busy

    def close(self) -> None:
        """Nothing is open."""

    def answers(self, seconds: float) -> bool:
        """As set."""
        return self.there


@dataclass
class FakeLedger:
    """One pass, and which files have their outcome."""

    found: Totals | None = OPEN
    outcomes: dict[FileId, str] = field(default_factory=dict)
    open_first: int = 1
    wrong: Mapping[int, str] = field(default_factory=dict)

    def newest(self) -> Totals | None:
        """The pass."""
        return self.found

    def proved(self, pass_id: int) -> bool:
        """Its rows agree."""
        return True

    def settled(
        self, pass_id: int, files: Sequence[FileId], first_id: int | None
    ) -> bool:
        """Every one has an outcome."""
        return bool(files) and all(file in self.outcomes for file in files)

    def baseline(self, pass_id: int, worker_id: int) -> Baseline:
        """The range in hand is open."""
        return Baseline(pass_id, 100, {self.open_first: self._arrived()})

    def since(self, then: Baseline, worker_id: int) -> Mapping[int, int]:
        """All that was uploaded since is of that range."""
        return {first: self._arrived() - n for first, n in then.arrived.items()}

    def _arrived(self) -> int:
        return sum(outcome == "uploaded" for outcome in self.outcomes.values())

    def fates(
        self, pass_id: int, worker_id: int, files: Sequence[FileId]
    ) -> Mapping[FileId, Fate]:
        """Uploaded is arrived, any other outcome lost."""
        known = {
            "uploaded": Fate.ARRIVED,
            "by another": Fate.BY_ANOTHER,
            "": Fate.PENDING,
        }
        return {
            file: known.get(self.outcomes.get(file, ""), Fate.LOST) for file in files
        }

    def not_carried_in(self, pass_id: int, first_id: int, last_id: int) -> int:
        """The others."""
        return sum(outcome != "uploaded" for outcome in self.outcomes.values())

    def wrong_books(self, kinds: Collection[str]) -> Mapping[int, str]:
        """As set."""
        return self.wrong


@dataclass
class FakeComparer:
    """What was found of what a trial's script has carried; None takes longer."""

    found: str | None = ""
    fails: str = ""
    busy: bool = False
    asked: list[tuple[str, int, int]] = field(default_factory=list)

    def differences(
        self, trial: str, pass_id: int, worker_id: int, besides: Collection[int] = ()
    ) -> str | None:
        """As was told."""
        self.asked.append((trial, pass_id, worker_id))
        if self.fails:
            raise Incomparable(self.fails)
        self.busy = self.found is None
        return self.found

    def close(self) -> None:
        """Nothing runs."""


@dataclass
class FakeLibrary:
    """The library as it is set: `change` is somebody's edit, seen at once if `tells`."""

    version: int = 0
    trouble: str = ""
    tells: bool = False
    looks: int = 0
    waits: bool = False

    def change(self) -> None:
        """Somebody writes."""
        self.version += 1
        self.waits = self.tells

    def look(self) -> LibrarySeen:
        """As set."""
        self.looks += 1
        if self.trouble:
            return LibrarySeen(trouble=self.trouble)
        return LibrarySeen(f"mark {self.version}")

    def stirred(self) -> bool:
        """Once for each change."""
        waits, self.waits = self.waits, False
        return waits

    def close(self) -> None:
        """Nothing is open."""


@dataclass
class FakeOpener:
    """Opens the next pass in the ledger at once; or ends as it is told."""

    ledger: FakeLedger
    clock: ToldClock
    code: int = 0
    said: str = ""
    runs: bool = False
    opened: int = 0
    refuses: bool = False
    lasts: bool = False
    ends: Opened = field(default_factory=lambda: Opened(0))

    @property
    def over(self) -> bool:
        """Unless it is told to last."""
        return not self.lasts

    def start(self) -> None:
        """Opens a pass, unless one is open."""
        if self.refuses:
            raise OSError(11, "Resource temporarily unavailable")
        self.runs, self.ends = True, Opened(self.code, self.said)
        self.opened += 1
        newest = self.ledger.found
        if self.code or (newest is not None and newest.closed_at is None):
            return
        number = 1 if newest is None else newest.pass_id + 1
        self.ledger.found = replace(OPEN, pass_id=number, opened_at=self.clock())

    def result(self) -> Opened | None:
        """How it was told to end."""
        if self.lasts:
            return None
        self.runs = False
        return self.ends

    def close(self) -> None:
        """Over."""
        self.runs = False


@dataclass
class FakeHistory:
    """The history in memory; `dies_after` so many writes the monitor is killed."""

    kept: dict[str, HistoryEntry] = field(default_factory=dict)
    writes: int = 0
    dies_after: int | None = None
    full: bool = False
    all: Writes = field(default_factory=Writes)

    def begin(self, now: datetime) -> None:
        """There is always one."""

    def entries(self) -> list[HistoryEntry]:
        """Oldest first."""
        return list(self.kept.values())

    def record(self, entry: HistoryEntry, now: datetime) -> None:
        """Adds or replaces."""
        if self.full:
            raise StateUnwritable(
                "cannot write auto_fix_history.json: No space left on device"
            )
        self.kept[entry.key] = entry
        self.writes += 1
        if self.writes == self.dies_after:
            raise Died
        self.all.one()


@dataclass
class FakeStateFile:
    """The state in memory."""

    kept: MonitorState | None = None
    path: Path = Path("monitor_state.json")
    all: Writes = field(default_factory=Writes)

    def read(self) -> MonitorState | None:
        """The last one."""
        return self.kept

    def load(self, now: datetime) -> tuple[MonitorState | None, str]:
        """The last one, undamaged."""
        return self.kept, ""

    def taken_over(self, known: Sequence[HistoryEntry]) -> list[HistoryEntry]:
        """No older version was here."""
        return []

    def write(self, state: MonitorState) -> None:
        """Replaces it."""
        self.kept = state
        self.all.one()


@dataclass
class FakeEvidence:
    """What was kept and proposed."""

    proposed: list[str] = field(default_factory=list)
    full: bool = False

    def keep(self, verdict: Assessment, seen: WorkerSnapshot, stack: str) -> str:
        """One name for all."""
        return "evidence.json"

    def propose(self, worker_id: int, root_cause: str, code: str) -> str:
        """Noted, unless the disk is full."""
        if self.full:
            raise StateUnwritable("no space left")
        self.proposed.append(code)
        return "proposal.json"


@dataclass
class FakeScript:
    """The script in place, by its hash."""

    now: str = "shipped"
    path: Path = Path("bulk_migrate_calibre.py")
    there: bool = True
    all: Writes = field(default_factory=Writes)

    @property
    def name(self) -> str:
        """Of the file."""
        return self.path.name

    def digest(self) -> str:
        """As set."""
        return self.now

    @property
    def shipped(self) -> bool:
        """By its name."""
        return self.now == "shipped"

    def has(self, candidate: Candidate) -> bool:
        """As set."""
        return self.there

    def path_of(self, candidate: Candidate) -> Path:
        """By its name."""
        return Path(candidate.name)

    kept: list[str] = field(default_factory=list)

    def advice(self, commands: str) -> str:
        """Those commands."""
        return commands

    def given_way(self) -> list[str]:
        """As set."""
        return list(self.kept)

    def promote(self, candidate: Candidate) -> None:
        """As the real one: repeatable, and never over somebody else's."""
        self._becomes(candidate, candidate.after)

    def take_back(self, candidate: Candidate) -> None:
        """The other way."""
        self._becomes(candidate, candidate.before)

    def _becomes(self, candidate: Candidate, script: str) -> None:
        if self.now not in (candidate.before, candidate.after):
            raise NotOurs(self.now)
        if self.now != script:
            self.now = script
            self.all.one()


@dataclass
class FakeReservations:
    """For whom what is kept."""

    kept: dict[int, set[BookId]] = field(default_factory=dict)
    all: Writes = field(default_factory=Writes)

    def keep(self, pass_id: int, books: Collection[BookId], worker_id: int) -> None:
        """Noted."""
        self.kept[worker_id] = set(books)
        self.all.one()

    def clear(self) -> None:
        """Nothing."""
        self.kept.clear()
        self.all.one()


@dataclass
class FakeAlerts:
    """What a person was told."""

    told: list[str] = field(default_factory=list)
    diffs: list[str] = field(default_factory=list)

    def tell(self, text: str, diff: str = "") -> None:
        """Something is wrong, or was changed."""
        self.told.append(text)
        self.diffs.append(diff)

    def announce(self, text: str) -> None:
        """Good news."""
        self.told.append(text)

    def finish(self, seconds: float) -> None:
        """Nothing is under way."""


@dataclass
class FakeDiagnoser:
    """Answers when it is told to; until then every question is pending."""

    answer: Answer = field(default_factory=lambda: Answer(pending=True))
    opinion: Opinion = Opinion.PENDING
    facts: list[Facts] = field(default_factory=list)
    trouble: str | None = ""
    about: set[int] = field(default_factory=set)
    dropped: list[int] = field(default_factory=list)

    def asked(self, worker_id: int) -> bool:
        """Since it was last forgotten."""
        return worker_id in self.about

    def diagnose(self, facts: Facts) -> Answer:
        """The answer that is set."""
        self.about.add(facts.worker_id)
        self.facts.append(facts)
        return self.answer

    def disk_is_the_cause(self, facts: Facts) -> Opinion:
        """The opinion that is set."""
        return self.opinion

    def forget(self, worker_id: int) -> None:
        """Noted, where it was asked about."""
        if worker_id in self.about:
            self.dropped.append(worker_id)
        self.about.discard(worker_id)

    def finish(self) -> None:
        """Nothing runs."""


def cases_of(cases: Cases) -> dict[int, Case]:
    """The open cases, by worker."""
    return {
        entry.worker_id: entry.case
        for entry in cases.open_entries()
        if entry.case is not None
    }


class _Lines(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


class Harness:
    """A world of fakes, and one monitor after the other in it."""

    def __init__(
        self,
        workers: int = 4,
        *,
        diagnoser: FakeDiagnoser | None = None,
        watching: WatchPolicy | None = None,
    ) -> None:
        self.clock = ToldClock(NOON)
        self.processes = FakeProcesses(self.clock)
        self.observer = FakeObserver(self.processes, self.clock)
        self.server, self.disk, self.ledger = FakeServer(), FakeDisk(), FakeLedger()
        self.history, self.state_file, self.script = (
            FakeHistory(),
            FakeStateFile(),
            FakeScript(),
        )
        self.comparer = FakeComparer()
        self.evidence, self.reservations, self.alerts = (
            FakeEvidence(),
            FakeReservations(),
            FakeAlerts(),
        )
        self.library = FakeLibrary()
        self.opener = FakeOpener(self.ledger, self.clock)
        self.writes = Writes()
        for neighbour in (
            self.processes,
            self.history,
            self.state_file,
            self.script,
            self.reservations,
        ):
            neighbour.all = self.writes
        self.samples: list[Sample] = []
        self.reports: list[datetime] = []
        #: The monitor's last word whenever a page about the end was asked for.
        self.pages: list[str] = []
        self.diagnoser = diagnoser
        self.settings = Settings(
            Path("library"),
            "http://server",
            Path("no state"),
            self.script.path,
            workers,
            60,
            300,
            watching=watching,
        )
        self.policies = replace(
            POLICIES, scaling=replace(POLICIES.scaling, target=workers)
        )
        self.said, self.done = _Lines(), _Lines()
        self.monitor = self.new_monitor()

    def page(self) -> None:
        """Notes that the page about the end was asked for."""
        kept = self.state_file.kept
        self.pages.append("" if kept is None else kept.ended)

    def new_monitor(self, *, dry_run: bool = False) -> Monitor:
        """Another monitor on what is left."""
        log, actions = logging.Logger("harness"), logging.Logger("actions")
        log.addHandler(self.said)
        actions.addHandler(self.said)
        actions.addHandler(self.done)
        world = World(
            clock=self.clock,
            wall=self.clock,
            observed=Observed(
                self.observer,
                self.server,
                self.disk,
                self.disk,
                self.ledger,
                self.library,
            ),
            recorded=MonitorFiles(
                self.history, self.state_file, self.evidence, self.samples.append
            ),
            acted_on=ActedOn(
                self.processes,
                self.script,
                self.reservations,
                self.alerts,
                self.opener,
                lambda: self.reports.append(self.clock()),
                self.comparer,
                self.page,
            ),
            diagnoser=self.diagnoser,
        )
        # What people ask for is in files; those have tests of their own.
        settings = replace(self.settings, dry_run=dry_run)
        action_log = ActionLog(log, actions, dry_run=dry_run)
        parts = replace(
            parts_of(settings, self.policies, action_log, world), command_handler=None
        )
        self.monitor = Monitor(settings, parts)
        return self.monitor

    def rounds(self, minutes: float, every: float = 1.0) -> bool:
        """So many minutes, a look every so many; True when a look said that there is
        nothing left to watch."""
        for _ in range(round(minutes / every)):
            self.clock.move(60 * every)
            if self.monitor.tick():
                return True
        return False

    def hang(self, *numbers: int) -> None:
        """They stand still from now on."""
        self.observer.hangs |= dict.fromkeys(numbers, self.clock())

    def entries(self) -> list[HistoryEntry]:
        """The attempts."""
        return self.history.entries()
