"""What is wrong with workers, in words. Pure."""

from collections.abc import Sequence

from auto_monitor.cli.status import WorkerStatus
from common.sanitize import for_log
from migration.model import Phase


def has_ended(worker: WorkerStatus) -> bool:
    """Whether it has said so itself."""
    return worker.status in (Phase.COMPLETED, Phase.STOPPED, Phase.FAILED)


def troubles(workers: Sequence[WorkerStatus]) -> list[str]:
    """Returns what is wrong with workers, the same of several in one line."""
    said: dict[str, list[int]] = {}
    for worker in workers:
        if what := _trouble(worker):
            said.setdefault(what, []).append(worker.worker_id)
    return [
        f"Worker{'s' if len(ids) > 1 else ''} {', '.join(map(str, ids))}: {what}"
        for what, ids in said.items()
    ]


def _trouble(worker: WorkerStatus) -> str:
    """Returns what is wrong with one, and its error where that is why it stands."""
    if worker.paused_by_hand or (worker.status == Phase.COMPLETED and not worker.lives):
        return ""
    what = [worker.case or worker.stuck_why]
    if worker.paused and not what[0]:
        what = [f"paused after {worker.attempts} attempts to help"]
    if not worker.lives and not has_ended(worker):
        what.append(f"gone while {worker.status}")
    stands = any(what) or not worker.lives or worker.status == Phase.WAITING
    if stands and worker.last_error:
        what.append(worker.last_error)
    if not worker.lives and worker.exit_code:
        what.append(f"exit status {worker.exit_code}")
    return for_log("; ".join(part for part in what if part), 500)
