"""The first steps of a worker process: its directory, its log, its lock."""

import logging
from dataclasses import dataclass

from common.files.json_files import make_state_dir
from common.files.system_errors import reason_of, set_aside_if_directory
from common.resources import Reserve
from migration.errors import (
    StateUnwritable,
)
from migration.state_files import logs, not_carried
from migration.state_files.owner import Owner, WorkerLock, lock_path, this_process
from migration.worker.options import Options
from migration.worker.process import priority, stacks
from migration.worker.process.ending import refused


@dataclass(frozen=True, slots=True)
class Started:
    """A process that holds its worker id and has its log open."""

    owner: Owner
    lock: WorkerLock
    log: logging.Logger
    reserve: Reserve


def start(options: Options) -> Started:
    """Takes the first steps in the order in which they can fail.

    Exits with the error's status when one cannot be taken.
    """
    try:
        make_state_dir(options.state_dir)
    except OSError as error:
        raise refused(
            StateUnwritable(f"cannot make {options.state_dir}: {error.strerror}")
        ) from error
    try:
        moved = _clear_the_way(options)
        priority.lower(options.nice, options.ionice)
        log = logs.configure(
            options.state_dir, options.worker_id, console=True, as_json=options.log_json
        )
        logs.mask(options.password)
        for line in moved:
            log.warning(line)
        owner = this_process(options.worker_id)
        lock = WorkerLock(options.state_dir, owner)
        stacks.write_on_signal(options.state_dir, options.worker_id)
        return Started(owner, lock, log, Reserve())
    except Exception as error:
        # Python's own status would be 1, which tells the monitor that the worker has
        # done its part.
        raise refused(error) from error


def _clear_the_way(options: Options) -> list[str]:
    """Moves away directories that stand where this worker's files belong.

    Returns messages. Raises StateUnwritable.
    """
    moved = []
    own = (
        place(options.state_dir, options.worker_id)
        for place in (logs.log_path, stacks.stack_path, lock_path)
    )
    for path in (*own, options.state_dir / not_carried.NAME):
        try:
            aside = set_aside_if_directory(path)
        except OSError as error:
            raise StateUnwritable(
                f"cannot move the directory {path} away: {reason_of(error)}"
            ) from error
        if aside is not None:
            moved.append(f"{path} was a directory, not a file; it is now {aside.name}")
    return moved
