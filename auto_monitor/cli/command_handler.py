"""Carrying out user commands from `commands/`.

They pause, resume or restart a worker, or retry failed files.
"""

import subprocess
import sys
import time
from collections import deque
from dataclasses import dataclass, field, replace
from pathlib import Path

from auto_monitor.act.supervisor import Supervisor
from auto_monitor.cli import commands
from auto_monitor.cli.commands import Command, CommandKind
from auto_monitor.model import Afterwards, WorkerRecord, rests
from auto_monitor.record.action_log import ActionLog
from auto_monitor.record.memory import Memory
from auto_monitor.repair.attempts import Attempts
from common.sanitize import for_log

#: Seconds for the process that makes failed files pending: one transaction, once the
#: ledger is free.
RETRY_SECONDS = 150.0


@dataclass(slots=True)
class Retries:
    """Makes failed files pending through one process at a time.

    The monitor itself never writes the ledger.
    """

    state_dir: Path
    project: Path
    action_log: ActionLog
    _waiting: "deque[Command]" = field(default_factory=deque)
    _process: "subprocess.Popen[str] | None" = None
    _deadline: float = 0.0

    def ask(self, command: Command) -> None:
        """Queues a command."""
        self._waiting.append(command)
        self.look()

    def look(self) -> None:
        """Logs how the running process ended, and starts the next one. Never waits."""
        if self._process is not None and not self._ended(self._process):
            return
        self._process = None
        if self._waiting:
            self._start(self._waiting.popleft())

    def finish(self) -> None:
        """Waits for the running process.

        Puts queued commands back for the next monitor.
        """
        if self._process is not None:
            try:
                self._process.wait(
                    max(0.0, min(10.0, self._deadline - time.monotonic()))
                )
            except subprocess.TimeoutExpired:
                self._deadline = 0.0
            self._ended(self._process)
        for command in self._waiting:
            commands.leave(self.state_dir, command)

    def _start(self, command: Command) -> None:
        files = [f"{file.book_id}:{file.format}" for file in command.files]
        line = [
            sys.executable,
            "-m",
            "migration.commands.retry",
            "--state-dir",
            str(self.state_dir),
        ]
        line += ["--", *files] if files else ["--all"]
        self._deadline = time.monotonic() + RETRY_SECONDS
        try:
            self._process = subprocess.Popen(
                line,
                cwd=self.project,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                start_new_session=True,
            )
        except OSError as error:
            self.action_log.error(
                "Failed files cannot be put back to pending: %s", error.strerror
            )

    def _ended(self, process: "subprocess.Popen[str]") -> bool:
        if process.poll() is None:
            if time.monotonic() < self._deadline:
                return False
            process.kill()
        said, _ = process.communicate()
        how = "" if process.returncode == 0 else f" (status {process.returncode})"
        self.action_log.done(
            f"Retry of failed files: {for_log(said) or 'nothing was said'}{how}"
        )
        return True


@dataclass(frozen=True, slots=True)
class CommandHandler:
    """Carries out user commands and logs each with its result."""

    state_dir: Path
    supervisor: Supervisor
    memory: Memory
    attempts: Attempts
    action_log: ActionLog
    retries: Retries
    #: Names of command files that cannot be removed: they must not trigger another
    #: check.
    stuck: set[str] = field(default_factory=set)

    def waiting(self) -> bool:
        """Whether there is a command that can be carried out."""
        return commands.waiting(self.state_dir, self.stuck)

    def finish(self) -> None:
        """Waits for a running retry; puts queued ones back as commands."""
        self.retries.finish()

    def carry_out(self) -> None:
        """Carries out all commands left since the last check."""
        taken = commands.take(self.state_dir)
        for name in taken.strange:
            self.action_log.warning(
                "commands/%s is not a command and was removed", for_log(name)
            )
        for name, why in taken.stuck.items():
            self.action_log.once(
                f"command {name}",
                f"commands/{for_log(name)} cannot be removed ({why}) and is not carried out",
            )
        self.stuck.clear()
        self.stuck.update(taken.stuck)
        for command in taken.commands:
            self._carry_out(command)
        self.retries.look()

    def _carry_out(self, command: Command) -> None:
        if command.worker_id is None:
            named = ", ".join(str(file) for file in command.files) or "all that failed"
            self.action_log.act(f"Retry of failed files, as asked: {for_log(named)}")
            self.retries.ask(command)
            return
        record = self.memory.state.workers.get(command.worker_id)
        if record is None or not record.wanted:
            self.action_log.warning(
                "Worker %d is none of ours now: no %s",
                command.worker_id,
                command.kind.value,
            )
            return
        act = {
            CommandKind.PAUSE: self.pause,
            CommandKind.RESUME: self.resume,
            CommandKind.RESTART: self.restart,
        }[command.kind]
        act(record)

    def _rests(self, record: WorkerRecord) -> bool:
        return rests(record, self.attempts.cases.standing(record.worker_id))

    def pause(self, record: WorkerRecord) -> None:
        """Stops a worker until it is resumed, across restarts of the monitor too."""
        number = record.worker_id
        if self._rests(record):
            self.action_log.warning("Worker %d is paused already", number)
            return
        self.action_log.act(
            f"Pausing worker {number}, as asked; its range goes to the others"
        )
        paused = replace(record, paused_by_hand=True, suspect_since=None)
        self.memory.remember(paused)
        self.attempts.conclude(number, None, "a person paused the worker")
        self.memory.save()
        self.supervisor.kill(number)

    def resume(self, record: WorkerRecord) -> None:
        """Makes a paused worker startable, its attempts at zero, its settings kept."""
        number = record.worker_id
        if not self._rests(record):
            self.action_log.warning(
                "Worker %d is not paused: nothing to resume", number
            )
            return
        self.action_log.act(f"Worker {number}: resumed, as asked")
        self.attempts.cases.note(number, Afterwards.RESUMED)
        self.memory.remember(WorkerRecord(number))
        self.memory.save()

    def restart(self, record: WorkerRecord) -> None:
        """Restarts a worker; no attempt is counted, and an open one is closed."""
        number = record.worker_id
        if self._rests(record):
            self.action_log.warning(
                "Worker %d is paused: resume it instead of restarting it", number
            )
            return
        self.action_log.act(f"Restarting worker {number}, as asked")
        self.attempts.conclude(number, None, "a person restarted the worker")
        self.supervisor.kill(number)
        self.memory.remember(replace(self.memory.record(number), suspect_since=None))
        self.supervisor.start(number)
