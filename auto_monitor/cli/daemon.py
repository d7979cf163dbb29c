"""`monitor.pid`, which allows one monitor per state directory.

Distinguishes a live monitor's file from a stale or foreign one.
"""

import fcntl
import json
import os
import signal
import threading
import time
from datetime import datetime
from pathlib import Path
from types import FrameType

from auto_monitor.model import ProcessIdentity
from auto_monitor.processes import identity_of, running
from auto_monitor.record.action_log import ActionLog
from common.errors import CodedError
from common.files import lock as locks
from common.hints import hint
from migration.state_dirs.places import workers_run
from migration.state_files.names import MONITOR_PID

#: Readers ask who has the lock, and have it themselves for that moment.
_MOMENT, _MOMENTS = 0.05, 5


class AlreadyRunning(CodedError):
    """Another monitor has this state directory; the message names it."""

    code = "monitor-running"


def pid_path(state_dir: Path) -> Path:
    """Returns the path of the monitor's pid file."""
    return state_dir / MONITOR_PID


class MonitorLock:
    """Held by the monitor for its whole life.

    The kernel releases it however the process ends.
    """

    def __init__(self, state_dir: Path) -> None:
        """Takes the lock and writes pid and start time into it.

        Raises AlreadyRunning or OSError.
        """
        self._state_dir = state_dir
        self._path = pid_path(state_dir)
        self._fd = self._locked(state_dir)
        # A predecessor removes its file as it ends: a lock on a file without a name is
        # worthless.
        while not _same_file(self._fd, self._path):
            os.close(self._fd)
            self._fd = self._locked(state_dir)
        me = identity_of(os.getpid())
        started, birth = (me.started.isoformat(), me.birth) if me else (None, "")
        text = json.dumps(
            {"pid": os.getpid(), "pid_started_at": started, "birth": birth}
        )
        self._text = (text + "\n").encode("ascii")
        self._write()

    def _write(self) -> None:
        os.ftruncate(self._fd, 0)
        os.pwrite(self._fd, self._text, 0)

    def keep(self) -> None:
        """Restores the file if it was removed, replaced or overwritten.

        Without it a second monitor would start. Raises AlreadyRunning when one has,
        OSError when the file cannot be written.
        """
        if not _same_file(self._fd, self._path):
            descriptor = self._locked(self._state_dir)
            os.close(self._fd)
            self._fd = descriptor
            self._write()
        elif os.pread(self._fd, len(self._text) + 1, 0) != self._text:
            self._write()

    def _locked(self, state_dir: Path) -> int:
        descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        for _ in range(_MOMENTS):
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                time.sleep(_MOMENT)
            else:
                return descriptor
        os.close(descriptor)
        other = recorded(state_dir)
        named = f" (pid {other.pid})" if other else ""
        raise AlreadyRunning(
            f"a monitor is already running{named} on {state_dir}; "
            f"{hint('stop', state_dir=state_dir)} ends it"
        )

    def release(self) -> None:
        """Releases the lock and removes the file, if it is still this monitor's."""
        if _same_file(self._fd, self._path):
            self._path.unlink(missing_ok=True)
        os.close(self._fd)


def keep_place(lock: MonitorLock | None, say: ActionLog) -> bool:
    """Whether this is still the monitor of its state directory.

    Its file may have been removed and another monitor started.
    """
    try:
        if lock is not None:
            lock.keep()
    except AlreadyRunning as error:
        say.error("%s: this one ends, and leaves the workers to it", error)
        return False
    except OSError as error:
        say.once(
            "monitor.pid",
            f"monitor.pid cannot be put back: {error.strerror}; a second monitor could start",
        )
    else:
        say.forget("monitor.pid")
    return True


def _same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except OSError:
        return False


def recorded(state_dir: Path) -> ProcessIdentity | None:
    """Returns the monitor's identity from the pid file; None without one."""
    try:
        value = json.loads(pid_path(state_dir).read_bytes())
        started = datetime.fromisoformat(value["pid_started_at"])
        return ProcessIdentity(
            int(value["pid"]), started, str(value.get("birth") or "")
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def alive(state_dir: Path) -> ProcessIdentity | None:
    """Returns the running monitor of a state directory, or None.

    Pid, start time and command line must agree with the file; or somebody has its lock:
    a monitor in another container, whose processes cannot be seen from here.
    """
    identity = recorded(state_dir)
    found = running(
        identity,
        lambda arguments: any(
            Path(text).name == "monitor.py" for text in arguments[1:3]
        ),
    )
    if found is not None or (identity is not None and _is_locked(state_dir)):
        return identity
    return None


def _is_locked(state_dir: Path) -> bool:
    try:
        return locks.holder(pid_path(state_dir)) is not None
    except OSError:
        return False


def something_runs(state_dir: Path) -> bool:
    """Whether the monitor or a worker of this state directory is alive."""
    return alive(state_dir) is not None or workers_run(state_dir)


def stop_on_signals(stop: threading.Event) -> None:
    """Makes SIGTERM and SIGINT set the event."""

    def handle(_number: int, _frame: FrameType | None) -> None:
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, handle)
