"""The owner of a claim, and whether that process is alive.

A process is identified by boot id, pid namespace, pid, start time and worker id. There
is no lease that expires: a worker frozen by SIGSTOP may wake and finish its request, so
only a process that can be proved dead loses what it owns. A pid alone proves nothing,
because pids are recycled.
"""

import os
from dataclasses import dataclass
from pathlib import Path

import psutil

from common.clock import boot_id
from common.files import lock
from common.files.system_errors import reason_of
from common.resources import raise_if_exhausted
from migration.errors import NoStartTime, StateUnwritable, WorkerIdTaken


@dataclass(frozen=True, slots=True)
class Owner:
    """One process of one boot of one machine.

    `started` is its start time in clock ticks (Linux) or seconds.
    """

    boot_id: str
    pid_namespace: str
    pid: int
    started: str
    worker_id: int

    def __str__(self) -> str:
        return f"{self.boot_id}|{self.pid_namespace}|{self.pid}|{self.started}|{self.worker_id}"

    @classmethod
    def parse(cls, text: str) -> "Owner":
        """Parses the output of `str`. Raises ValueError for anything else."""
        boot_id, pid_namespace, pid, started, worker_id = text.split("|")
        return cls(boot_id, pid_namespace, int(pid), started, int(worker_id))

    @property
    def birth(self) -> str:
        """The identity of the process, as returned by `clock.birth_of`."""
        return f"{self.boot_id} {self.started}"


def this_process(worker_id: int) -> Owner:
    """Returns the identity of the calling process."""
    started = _started(os.getpid())
    if started is None:
        raise NoStartTime(
            "this system does not say when this process started, so ownership cannot be proved"
        )
    return Owner(boot_id(), _pid_namespace(), os.getpid(), started, worker_id)


def lock_path(state_dir: Path, worker_id: int) -> Path:
    """Returns the path of worker N's lock, beside its progress file."""
    return state_dir / f"migration_worker{worker_id}.lock"


class WorkerLock:
    """Held by worker N for its whole life.

    The kernel releases it however the process dies.
    """

    def __init__(self, state_dir: Path, owner: Owner) -> None:
        """Takes the lock.

        Raises WorkerIdTaken when a live worker holds it, and StateUnwritable when it
        cannot be created.
        """
        path = lock_path(state_dir, owner.worker_id)
        try:
            held = lock.take(path, mode=0o644)
        except OSError as error:
            raise_if_exhausted(error)
            raise StateUnwritable(f"cannot write {path}: {reason_of(error)}") from error
        if held is None:
            holder = (lock.holder(path) or b"").decode("ascii", "replace").split("|")
            pid = f" (pid {holder[2]})" if len(holder) == 5 else ""
            raise WorkerIdTaken(
                f"worker {owner.worker_id} is already running{pid} on {state_dir}; "
                "choose another --worker-id"
            )
        self._fd = held
        try:
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, str(owner).encode("ascii"), 0)
        except OSError as error:
            os.close(self._fd)
            raise StateUnwritable(f"cannot write {path}: {reason_of(error)}") from error

    def release(self) -> None:
        """Releases the lock.

        The file stays, because removing it would race with the next worker.
        """
        os.close(self._fd)


def is_alive(owner: Owner, state_dir: Path) -> bool:
    """Whether this process could still act. False only when it is proved dead."""
    if owner.boot_id != boot_id():
        return False
    if owner.pid_namespace == _pid_namespace():
        return _started(owner.pid) == owner.started
    try:
        holder = lock.holder(lock_path(state_dir, owner.worker_id))
    except PermissionError:
        # A confined worker may not open the lock of one that was started later.
        return True
    # If the lock is free, the process that wrote it is dead.
    return holder is not None and holder.decode("ascii", "replace") == str(owner)


def any_alive(state_dir: Path, *, besides: int = 0) -> bool:
    """Whether any worker of a state directory is alive, `besides` the one so numbered."""
    mine = lock_path(state_dir, besides)
    for path in sorted(state_dir.glob("migration_worker*.lock")):
        if path == mine:
            continue
        try:
            if is_alive(Owner.parse(path.read_text("ascii", "replace")), state_dir):
                return True
        except (OSError, ValueError):
            # Just created and not written yet, or not one of our locks.
            continue
    return False


def birth_of_worker(state_dir: Path, worker_id: int, pid: int) -> str:
    """Returns which process with this pid last wrote worker N's lock.

    "" when it was another pid, or a process that cannot be seen from here.
    """
    try:
        owner = Owner.parse(
            lock_path(state_dir, worker_id).read_text("ascii", "replace")
        )
    except (OSError, ValueError):
        return ""
    return (
        owner.birth
        if owner.pid == pid and owner.pid_namespace == _pid_namespace()
        else ""
    )


def _pid_namespace() -> str:
    try:
        # The link has no target in the file system.
        return os.readlink("/proc/self/ns/pid")  # noqa: PTH115
    except OSError:
        return "-"


def _started(pid: int) -> str | None:
    """Returns when the process started; None when it is gone or a zombie.

    A zombie cannot do anything any more.
    """
    try:
        stat = Path(f"/proc/{pid}/stat").read_text("ascii", "replace")
    except (FileNotFoundError, ProcessLookupError):
        return _started_by_psutil(pid) if not Path("/proc/self").exists() else None
    # The command name is in parentheses and may itself contain blanks and parentheses;
    # the fields follow the last one.
    fields = stat.rpartition(")")[2].split()
    return None if fields[0] in "ZX" else fields[19]


def _started_by_psutil(pid: int) -> str | None:
    try:
        process = psutil.Process(pid)
        return (
            None
            if process.status() == psutil.STATUS_ZOMBIE
            else f"{process.create_time():.2f}"
        )
    except psutil.NoSuchProcess:
        return None
