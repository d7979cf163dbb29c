"""Worker processes: start, find, stop, kill. Identity is pid, start time and command
line, never a pid or a name."""

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

from auto_monitor.model import Identity
from common.clock import birth_of, utc_now
from common.settings.load import READ_FILES
from common.settings.setting import settings_of
from common.settings.worker import WorkerSettings
from migration.worker.process import stacks

#: Recorded and measured start times may differ by rounding and by a clock that was set,
#: seconds.
START_TOLERANCE = 2.0
#: Settings of a worker that are on its command line, or its own.
_TOLD = {"CALIBRE_LIBRARY", "STATE_DIR", "WORKER_ID"}
#: What a worker is told by its environment: all of its other settings, wherever the
#: monitor has them from.
FOR_WORKERS = frozenset(one.variable for one in settings_of(WorkerSettings)) - _TOLD
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
    identity: Identity | None, is_ours: Callable[[list[str]], bool]
) -> psutil.Process | None:
    """The process, when it is still this one, lives, and its arguments are those of one
    of ours."""
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


def _same(identity: Identity, started: datetime) -> bool:
    """Is the process that has this pid now, and started then by the present clock, the
    one that was written down?"""
    birth = birth_of(identity.pid) if identity.birth else ""
    if birth:
        return birth == identity.birth
    return abs((started - identity.started).total_seconds()) <= START_TOLERANCE


def argument(arguments: Sequence[str], option: str) -> str | None:
    """The value of an option on a command line (`--option value` or `--option=value`);
    None when it is not there."""
    for place, text in enumerate(arguments):
        if text == option and place + 1 < len(arguments):
            return arguments[place + 1]
        if text.startswith(option + "="):
            return text[len(option) + 1 :]
    return None


def identity_of(pid: int) -> Identity | None:
    """The identity of a process that runs now; None when it is gone."""
    try:
        return Identity(
            pid,
            datetime.fromtimestamp(psutil.Process(pid).create_time(), tz=UTC),
            birth_of(pid),
        )
    except psutil.Error:
        return None


def end(process: psutil.Process, grace_seconds: float) -> bool:
    """SIGTERM, then SIGKILL to whatever is left of its group; True when it had to be
    killed.

    The group is signalled only when the process leads it: workers are started so; one
    that was started by hand shares its group with a shell."""
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
    """How workers are run: the script (which a promoted fix replaces), and what all of
    them are told.

    `until` is the time of the steady clock (`time.monotonic`) from which no worker may
    take a new book; None for never."""

    script: Path
    library: Path
    server: str
    state_dir: Path
    project: Path
    environment: Mapping[str, str] = field(default_factory=dict, repr=False)
    until: float | None = None

    def time_is_up(self) -> bool:
        """Has all the time passed that MIGRATE_MAX_DURATION gave to the whole?"""
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
        """The arguments of worker N. They only join a pass; passwords are in the
        environment."""
        line = [
            sys.executable,
            str(script),
            str(self.library),
            "--server",
            self.server,
            "--worker-id",
            str(worker_id),
            "--state-dir",
            str(self.state_dir),
            "--join-only",
        ]
        if parallel_uploads is not None:
            line += ["--parallel-uploads", str(parallel_uploads)]
        if batch_size is not None:
            line += ["--batch-size", str(batch_size)]
        if retry_failed:
            line.append("--retry-failed")
        return line

    def surroundings(self) -> dict[str, str]:
        """The environment of a worker: what the monitor was given for it, without what
        is only the monitor's."""
        inherited = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(_NOT_FOR_WORKERS)
        }
        given = {
            key: value for key, value in self.environment.items() if key in FOR_WORKERS
        }
        if self.until is not None:
            # A worker that is started later gets what is left, rounded up: it never
            # ends before the monitor knows why.
            given["MIGRATE_MAX_DURATION"] = str(
                max(1, math.ceil(self.until - time.monotonic()))
            )
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
        self._children: dict[Identity, subprocess.Popen[bytes]] = {}
        self._exits: dict[Identity, int] = {}

    def start(
        self,
        worker_id: int,
        *,
        script: Path | None = None,
        parallel_uploads: int | None = None,
        batch_size: int | None = None,
        retry_failed: bool = False,
    ) -> Identity:
        """Starts worker N in a session and group of its own. Raises OSError when that
        is impossible."""
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
        identity = identity_of(child.pid) or Identity(child.pid, utc_now())
        self._children[identity] = child
        return identity

    def find(self, identity: Identity | None, worker_id: int) -> psutil.Process | None:
        """Worker N's process when it still lives and is provably that."""
        self.reap()
        if identity is not None and identity in self._children:
            # Our own child, not reaped yet: its pid cannot be anybody else's, and until
            # it has become the worker its command line is still ours.
            return psutil.Process(identity.pid)
        return running(
            identity, lambda arguments: self._is_worker(arguments, worker_id)
        )

    def lives(self, identity: Identity | None, worker_id: int) -> bool:
        """Does worker N live, provably as this process?"""
        return self.find(identity, worker_id) is not None

    def runs(self, identity: Identity | None, worker_id: int, name: str) -> bool:
        """Does worker N live and run the script of this name?"""
        process = self.find(identity, worker_id)
        try:
            return process is not None and any(
                Path(text).name == name for text in process.cmdline()[:3]
            )
        except psutil.Error:
            return False

    def time_is_up(self) -> bool:
        """Has all the time passed that the whole migration was given?"""
        return self.command.time_is_up()

    def _is_worker(self, arguments: list[str], worker_id: int) -> bool:
        """A command line of worker N on our state directory; what it does not name came
        from the environment."""
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
        """Notes how children have ended, so that none stays a zombie; has one since the
        last time?"""
        ended = [
            identity
            for identity, child in self._children.items()
            if child.poll() is not None
        ]
        for identity in ended:
            self._exits[identity] = self._children.pop(identity).returncode
        return bool(ended)

    def exit_code(self, identity: Identity | None) -> int | None:
        """How a child of ours ended; None when it has not, or was not ours."""
        self.reap()
        return None if identity is None else self._exits.get(identity)

    def stop(self, identity: Identity | None, worker_id: int) -> bool:
        """Ends worker N: TERM, then KILL; False when it was not there. Nothing else is
        ever signalled."""
        process = self.find(identity, worker_id)
        if process is None:
            return False
        end(process, self._grace)
        self._note_end(identity, process)
        self.reap()
        return True

    def _note_end(self, identity: Identity | None, process: psutil.Process) -> None:
        """psutil has waited for a child of ours, so its exit status is known there and
        to nobody else."""
        code = getattr(process, "returncode", None)
        if identity is not None and identity in self._children and code is not None:
            self._children.pop(identity).returncode = int(code)
            self._exits[identity] = int(code)

    def stop_all(self, identities: Mapping[int, Identity | None]) -> None:
        """Ends these workers side by side."""
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
        self, identity: Identity | None, worker_id: int, seconds: float
    ) -> str:
        """The Python stack of worker N's threads; "" when it has no handler, is frozen,
        or does not answer in time."""
        process = self.find(identity, worker_id)
        if process is None or process.status() == psutil.STATUS_STOPPED:
            return ""
        path = stacks.stack_path(self.command.state_dir, worker_id)
        asked = _asked(process, stacks.ASK, path, seconds * 2 / 3)
        return asked or _asked(process, stacks.INSIST, path, seconds / 3)


def _asked(
    process: psutil.Process, number: signal.Signals, path: Path, seconds: float
) -> str:
    """What a worker writes to its file of stacks after a signal, within so many
    seconds."""
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
    """Has the process a handler for a signal? Without one the signal would end it.
    False when that cannot be told."""
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
