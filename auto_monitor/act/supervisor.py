"""Starting and stopping workers, with processes and memory kept consistent."""

from dataclasses import replace
from pathlib import Path

from auto_monitor.decide import scaling
from auto_monitor.decide.ending import Ended, Ending
from auto_monitor.model import ProcessIdentity, Trigger, WorkerRecord, rests
from auto_monitor.ports import Observer, Processes, Script
from auto_monitor.record.action_log import ActionLog
from auto_monitor.record.history import Cases
from auto_monitor.record.memory import Memory

#: The exit status when files are pending, the same as the worker's.
STAYS_OPEN = 6


class Supervisor:
    """Starts and stops workers by their ids."""

    def __init__(
        self,
        workers: Processes,
        script: Script,
        cases: Cases,
        memory: Memory,
        action_log: ActionLog,
        *,
        stack_seconds: float,
    ) -> None:
        """`stack_seconds` is how long a worker may take to write its stack."""
        self.workers = workers
        self._script = script
        self._cases = cases
        self._memory = memory
        self._action_log = action_log
        self._stack_seconds = stack_seconds

    def revived(self, record: WorkerRecord) -> WorkerRecord:
        """Returns the record of a worker that an earlier monitor knew.

        If the worker is no longer alive, it is to be started, which does not count as
        an attempt.
        """
        if self.workers.lives(record.identity, record.worker_id):
            return record
        return replace(record, identity=None, exit_code=None, suspect_since=None)

    def adopt(self, observer: Observer) -> None:
        """Starts observing workers that were started by hand."""
        for number, identity in observer.found_by_hand().items():
            record = self._memory.record(number)
            if self.workers.lives(record.identity, number):
                continue
            self._action_log.info(
                "Worker %d runs (pid %d); it is watched from now on",
                number,
                identity.pid,
            )
            self._memory.remember(
                replace(
                    record, identity=identity, exit_code=None, wanted=True, script=""
                )
            )

    def fill_up(self) -> None:
        """Starts missing workers up to the desired number.

        Workers that failed are left to the healer.
        """
        wanted = self._memory.wanted()
        gone = [record for record in wanted if record.identity is None]
        missing = [
            one.worker_id
            for one in gone
            if not rests(one, self._cases.standing(one.worker_id))
        ]
        missing += scaling.missing_ids(
            self._memory.state.desired, [record.worker_id for record in wanted]
        )
        for number in missing:
            if self._action_log.act(
                f"Starting worker {number}: {self._memory.state.desired} are desired"
            ):
                self.start(number)

    def start(self, number: int) -> ProcessIdentity | None:
        """Starts worker N; returns None when that was impossible."""
        record, standing = self._memory.record(number), self._cases.standing(number)
        tried = standing.case.candidate if standing.case is not None else None
        # Before the start: what is put in place meanwhile is not what it runs.
        script = self._script.digest() if tried is None else tried.after
        try:
            identity = self.workers.start(
                number,
                script=self._candidate(number),
                parallel_uploads=standing.parallel_uploads,
                batch_size=standing.batch_size,
                retry_failed=self._tries_again(number),
            )
        except OSError as error:
            self._action_log.error(
                "Worker %d cannot be started: %s", number, error.strerror
            )
            return None
        self._memory.remember(
            replace(
                record,
                wanted=True,
                identity=identity,
                exit_code=None,
                script=script,
            )
        )
        self._action_log.done(f"Worker {number} runs as pid {identity.pid}")
        return identity

    def _candidate(self, number: int) -> Path | None:
        """Returns the candidate tried on worker N; None for the installed script."""
        entry = self._cases.of(number)
        candidate = (
            entry.case.candidate
            if entry is not None and entry.case is not None
            else None
        )
        return None if candidate is None else self._script.path_of(candidate)

    def _tries_again(self, number: int) -> bool:
        """Whether worker N must retry failed files, to show its candidate's effect."""
        entry = self._cases.of(number)
        return (
            self._candidate(number) is not None
            and entry is not None
            and entry.trigger == Trigger.ALL_FAILING
        )

    def runs(self, number: int, name: str) -> bool:
        """Whether worker N runs the script of this name."""
        return self.workers.runs(self._memory.record(number).identity, number, name)

    def outdated(self, record: WorkerRecord) -> bool:
        """Whether the worker runs neither the script in place nor its candidate."""
        now = self._script.digest()
        return "" not in (record.script, now) and record.script != now

    def kill(self, number: int) -> bool:
        """Ends worker N: SIGTERM, then SIGKILL to its own process group.

        Returns False when it was not running. No other process is ever signalled.
        """
        return self.workers.stop(self._memory.record(number).identity, number)

    def stack(self, number: int) -> str:
        """Returns the stack of worker N, or "" if it does not answer."""
        identity = self._memory.record(number).identity
        return self.workers.take_stack(identity, number, self._stack_seconds)

    def time_is_up(self) -> bool:
        """Whether the time for the whole migration is over.

        Then no worker is started or repaired any more.
        """
        return self.workers.time_is_up()

    def leave_open(self, why: Ending) -> int:
        """Stops remaining workers; the pass stays open. Returns the exit status."""
        reached = why is Ending.LIMIT
        what = (
            "Every worker has done as many files as --limit allows"
            if reached
            else "The time is up (MIGRATE_MAX_DURATION)"
        )
        goes_on = f"the pass stays open and {self._action_log.hint('start')} goes on"
        if self._action_log.act(f"{what}; {goes_on}"):
            self.dismiss()
        self._memory.save(ended=Ended.LIMIT if reached else Ended.TIME_IS_UP)
        return 0 if reached else STAYS_OPEN

    def dismiss(self) -> None:
        """Stops every worker."""
        self.workers.stop_all(
            {record.worker_id: record.identity for record in self._memory.records()}
        )
