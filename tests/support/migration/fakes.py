"""Stand-ins for the neighbours of the pure core, each passing the contract of the real
thing where there is one."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psutil

from auto_monitor.model import Identity
from auto_monitor.processes import WorkerCommand, Workers
from common.clock import SteadyClock

_MORNING = datetime(2026, 11, 24, tzinfo=UTC)


class LivingWorkers(Workers):
    """Every worker lives: for replaying what a worker wrote without running one."""

    def __init__(self, state_dir: Path) -> None:
        super().__init__(
            WorkerCommand(
                Path("worker.py"), state_dir, "http://server", state_dir, state_dir
            ),
            grace_seconds=1,
        )

    def find(self, identity: Identity | None, worker_id: int) -> psutil.Process | None:
        """This very process stands for all."""
        return psutil.Process() if identity is not None else None


def told_clock(now: Callable[[], datetime], boot: str = "this boot") -> SteadyClock:
    """A steady clock whose time is what `now` says; those of one boot agree, as
    processes of one machine do."""
    return SteadyClock(now, lambda: 10_000 + (now() - _MORNING).total_seconds(), boot)


class ToldClock(SteadyClock):
    """A steady clock that moves when told; the wall clock that started it may show
    something else."""

    def __init__(self, now: datetime, boot: str = "this boot") -> None:
        self.now = now
        super().__init__(
            lambda: self.now,
            lambda: 10_000 + (self.now - _MORNING).total_seconds(),
            boot,
        )

    def move(self, seconds: float) -> None:
        """Time goes by."""
        self.now += timedelta(seconds=seconds)
