"""Worker processes: start, find, stop, kill.

Identity is pid, start time and command line, never only a pid or a name.
"""

import contextlib
import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import psutil

from auto_monitor.model import ProcessIdentity
from common.clock import birth_of, utc_now
from common.settings.load import READ_FILES
from common.settings.secret_files import PLACES
from common.settings.setting import settings_of
from common.settings.worker import WorkerSettings
from migration.confinement import start
from migration.worker.process import stacks

#: Seconds by which recorded and measured start times may differ, because of rounding or
#: a clock that was set.
START_TOLERANCE = 2.0
#: Settings of a worker that are passed on its command line, or are its own.
_TOLD = {"CALIBRE_LIBRARY", "STATE_DIR", "WORKER_ID"}
#: Settings passed to a worker through its environment: all others, wherever the monitor
#: has them from.
FOR_WORKERS = frozenset(one.variable for one in settings_of(WorkerSettings)) - _TOLD
#: The option of a worker that only opens a pass.
OPEN_PASS = "--open-pass"  # noqa: S105 - no password
_NOT_FOR_WORKERS = (
    "OPENAI_",
    "ALERT_",
    "CALIBRE_LIBRARY",
    "STATE_DIR",
    "WORKER_ID",
    "NOTIFY_SOCKET",
    "WATCHDOG_",
)


def running(
    identity: ProcessIdentity | None, is_ours: Callable[[list[str]], bool]
) -> psutil.Process | None:
    """Returns the process if it is still this one, alive, and ours."""
    if identity is None:
        return None
    try:
        process = psutil.Process(identity.pid)
        started = datetime.fromtimestamp(process.create_time(), tz=UTC)
        arguments = process.cmdline()
        alive = process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return None
    return (
        process if alive and _same(identity, started) and is_ours(arguments) else None
    )


def _same(identity: ProcessIdentity, started: datetime) -> bool:
    """Whether the process that now has this pid is the recorded one.

    `started` is its start by the present clock.
    """
    birth = birth_of(identity.pid) if identity.birth else ""
    if birth:
        return birth == identity.birth
    return abs((started - identity.started).total_seconds()) <= START_TOLERANCE


def argument(arguments: Sequence[str], option: str) -> str | None:
    """Returns an option's value (`--option value` or `--option=value`), or None."""
    for place, text in enumerate(arguments):
        if text == option and place + 1 < len(arguments):
            return arguments[place + 1]
        if text.startswith(option + "="):
            return text[len(option) + 1 :]
    return None


def identity_of(pid: int) -> ProcessIdentity | None:
    """Returns the identity of a running process; None when it is gone."""
    try:
        return ProcessIdentity(
            pid,
            datetime.fromtimestamp(psutil.Process(pid).create_time(), tz=UTC),
            birth_of(pid),
        )
    except psutil.Error:
        return None


def end(process: psutil.Process, grace_seconds: float) -> bool:
    """Sends SIGTERM, then SIGKILL; returns whether the process had to be killed.

    The group is signalled only when the process leads it: workers are started that way;
    one that was started by hand shares its group with a shell.
    """
    leads = _leads_its_group(process)
    _signal(process, signal.SIGTERM, group=leads)
    _gone, alive = psutil.wait_procs([process], timeout=grace_seconds)
    if alive:
        _signal(process, signal.SIGKILL, group=leads)
        psutil.wait_procs([process], timeout=grace_seconds)
    return bool(alive)


def _leads_its_group(process: psutil.Process) -> bool:
    try:
        return os.getpgid(process.pid) == process.pid
    except ProcessLookupError:
        return False


def _signal(process: psutil.Process, number: signal.Signals, *, group: bool) -> None:
    # psutil compares pid and start time before it sends; the group is that of a process
    # just seen alive.
    with contextlib.suppress(psutil.NoSuchProcess, ProcessLookupError):
        if group and process.is_running():
            os.killpg(process.pid, number)
        else:
            process.send_signal(number)


@dataclass(frozen=True, slots=True)
class WorkerCommand:
    """How workers are started: the script (replaced by a promoted fix) and arguments.

    `until` is the time of the steady clock (`time.monotonic`) from which no worker may
    take a new book; None means no limit. Under `watching` workers never delete.
    """

    script: Path
    library: Path
    server: str
    state_dir: Path
    project: Path
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    until: float | None = None
    watching: bool = False

    def time_is_up(self) -> bool:
        """Whether the time set by MIGRATE_MAX_DURATION is over."""
        return self.until is not None and time.monotonic() >= self.until

    def line(
        self,
        worker_id: int,
        script: Path,
        parallel_uploads: int | None,
        batch_size: int | None,
        *,
        retry_failed: bool,
    ) -> list[str]:
        """Returns the arguments of worker N.

        Workers only join a pass; passwords are in the environment.
        """
        line = [*self._line(worker_id, script), "--join-only"]
        if parallel_uploads is not None:
            line += ["--parallel-uploads", str(parallel_uploads)]
        if batch_size is not None:
            line += ["--batch-size", str(batch_size)]
        if retry_failed:
            line.append("--retry-failed")
        return line

    def opening_line(self) -> list[str]:
        """Returns the arguments of the worker that checks everything and opens a pass."""
        return [*self._line(1, self.script), OPEN_PASS]

    def _line(self, worker_id: int, script: Path) -> list[str]:
        return [
            sys.executable,
            *start.launcher(script, self.state_dir),
            str(script),
            str(self.library),
            "--server",
            self.server,
            "--worker-id",
            str(worker_id),
            "--state-dir",
            str(self.state_dir),
        ]

    def surroundings(self) -> dict[str, str]:
        """Returns the environment of a worker, without what is only the monitor's."""
        inherited = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(_NOT_FOR_WORKERS) and key not in PLACES
        }
        given = {
            key: value for key, value in self.environment.items() if key in FOR_WORKERS
        }
        if self.until is not None:
            # A worker that is started later gets the time left, rounded up: it never
            # ends before the monitor knows why.
            given["MIGRATE_MAX_DURATION"] = str(
                max(1, math.ceil(self.until - time.monotonic()))
            )
        if self.watching:
            given["MIGRATE_DELETE_REMOVED"] = "0"
        # It need not look for the files again: all that they say to it is here.
        given[READ_FILES] = "0"
        return {
            **inherited,
            **given,
            "PYTHONPATH": str(self.project),
            "PYTHONUNBUFFERED": "1",
        }


class Workers:
    """The worker processes of one state directory."""

    def __init__(self, command: WorkerCommand, *, grace_seconds: float) -> None:
        self.command = command
        self._grace = grace_seconds
        self._children: dict[ProcessIdentity, subprocess.Popen[bytes]] = {}
        self._exits: dict[ProcessIdentity, int] = {}

    def start(
        self,
        worker_id: int,
        *,
        script: Path | None = None,
        parallel_uploads: int | None = None,
        batch_size: int | None = None,
        retry_failed: bool = False,
    ) -> ProcessIdentity:
        """Starts worker N in its own session and process group. Raises OSError."""
        line = self.command.line(
            worker_id,
            script or self.command.script,
            parallel_uploads,
            batch_size,
            retry_failed=retry_failed,
        )
        output = self.command.state_dir / f"migration_worker{worker_id}.out"
        with output.open("wb") as said:
            child = subprocess.Popen(
                line,
                env=self.command.surroundings(),
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                start_new_session=True,
            )
        identity = identity_of(child.pid) or ProcessIdentity(child.pid, utc_now())
        self._children[identity] = child
        return identity

    def find(
        self, identity: ProcessIdentity | None, worker_id: int
    ) -> psutil.Process | None:
        """Returns worker N's process if it is alive and provably that worker."""
        self.reap()
        if identity is not None and identity in self._children:
            # Our own child, not reaped yet: its pid cannot belong to another process,
            # and until it has become the worker its command line is still ours.
            return psutil.Process(identity.pid)
        return running(
            identity, lambda arguments: self._is_worker(arguments, worker_id)
        )

    def lives(self, identity: ProcessIdentity | None, worker_id: int) -> bool:
        """Whether worker N is alive, provably as this process."""
        return self.find(identity, worker_id) is not None

    def runs(self, identity: ProcessIdentity | None, worker_id: int, name: str) -> bool:
        """Whether worker N is alive and runs the script of this name."""
        process = self.find(identity, worker_id)
        try:
            return process is not None and any(
                Path(text).name == name for text in process.cmdline()[:3]
            )
        except psutil.Error:
            return False

    def time_is_up(self) -> bool:
        """Whether the time for the whole migration is over."""
        return self.command.time_is_up()

    def _is_worker(self, arguments: list[str], worker_id: int) -> bool:
        """Whether this is a command line of worker N on our state directory.

        What it does not name came from the environment. One that only opens a pass is
        none: when it has, there is work that nobody does.
        """
        if OPEN_PASS in arguments:
            return False
        script = any(
            Path(text).name.startswith(self.command.script.stem)
            for text in arguments[1:3]
        )
        number, state_dir = (
            argument(arguments, "--worker-id"),
            argument(arguments, "--state-dir"),
        )
        same_place = (
            state_dir is None
            or Path(state_dir).expanduser().resolve() == self.command.state_dir
        )
        return script and number in (None, str(worker_id)) and same_place

    def reap(self) -> bool:
        """Records how children have ended, so that none stays a zombie.

        Returns whether one has.
        """
        ended = [
            identity
            for identity, child in self._children.items()
            if child.poll() is not None
        ]
        for identity in ended:
            self._exits[identity] = self._children.pop(identity).returncode
        return bool(ended)

    def exit_code(self, identity: ProcessIdentity | None) -> int | None:
        """Returns how a child of ours ended; None when it has not, or was not ours."""
        self.reap()
        return None if identity is None else self._exits.get(identity)

    def stop(self, identity: ProcessIdentity | None, worker_id: int) -> bool:
        """Ends worker N: SIGTERM, then SIGKILL; returns False when it was not running.

        No other process is ever signalled.
        """
        process = self.find(identity, worker_id)
        if process is None:
            return False
        end(process, self._grace)
        self._note_end(identity, process)
        self.reap()
        return True

    def _note_end(
        self, identity: ProcessIdentity | None, process: psutil.Process
    ) -> None:
        """Records an exit status that psutil collected by waiting for our child."""
        code = getattr(process, "returncode", None)
        if identity is not None and identity in self._children and code is not None:
            self._children.pop(identity).returncode = int(code)
            self._exits[identity] = int(code)

    def stop_all(self, identities: Mapping[int, ProcessIdentity | None]) -> None:
        """Ends these workers in parallel."""
        found = {
            process: known
            for number, known in identities.items()
            if (process := self.find(known, number)) is not None
        }
        threads = [
            threading.Thread(target=end, args=(process, self._grace))
            for process in found
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        for process, known in found.items():
            self._note_end(known, process)
        # Only now: of a child that psutil has waited for `poll` would say 0.
        self.reap()

    def take_stack(
        self, identity: ProcessIdentity | None, worker_id: int, seconds: float
    ) -> str:
        """Returns the Python stacks of worker N's threads.

        "" when it has no handler, is frozen, or does not answer in time.
        """
        process = self.find(identity, worker_id)
        if process is None or process.status() == psutil.STATUS_STOPPED:
            return ""
        path = stacks.stack_path(self.command.state_dir, worker_id)
        asked = _asked(process, stacks.ASK, path, seconds * 2 / 3)
        return asked or _asked(process, stacks.INSIST, path, seconds / 3)


def _asked(
    process: psutil.Process, number: signal.Signals, path: Path, seconds: float
) -> str:
    """Returns the stack a worker writes after a signal, within `seconds`."""
    if not handles(process.pid, number):
        return ""
    before = _size(path)
    _signal(process, number, group=False)
    deadline, last = time.monotonic() + seconds, before
    while time.monotonic() < deadline:
        time.sleep(0.05)
        size = _size(path)
        if size > before and size == last:
            break
        last = size
    try:
        with path.open("rb") as file:
            file.seek(before)
            return file.read(100_000).decode("utf-8", "replace")
    except OSError:
        return ""


def handles(pid: int, number: signal.Signals) -> bool:
    """Whether the process handles a signal, which would end it otherwise.

    False when that cannot be determined.
    """
    try:
        status = Path(f"/proc/{pid}/status").read_text("ascii", "replace")
    except OSError:
        return False
    for line in status.splitlines():
        if line.startswith("SigCgt:"):
            return bool(int(line.split()[1], 16) >> (number - 1) & 1)
    return False


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
