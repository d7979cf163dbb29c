"""The part of a round that adds a line to the samples for charts."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from auto_monitor.decide.ending import RUNNING
from auto_monitor.model import Assessment
from auto_monitor.ports import Clock
from auto_monitor.record.action_log import ActionLog
from auto_monitor.record.memory import Memory
from auto_monitor.record.samples import NAME, Sample
from migration.ledger.totals import Totals


@dataclass(frozen=True, slots=True)
class Sampler:
    """Takes a sample at every check.

    `wall` is the clock for display.
    """

    memory: Memory
    action_log: ActionLog
    keep: Callable[[Sample], None]
    wall: Clock

    def take(self, found: Totals | None, assessments: Mapping[int, Assessment]) -> None:
        """Takes a sample; a failure to write it is not fatal."""
        if self.action_log.dry_run or found is None:
            return
        counts, state = found.counts, self.memory.state
        taken = Sample(
            self.wall(),
            found.pass_id,
            counts.discovered - counts.pending,
            found.bytes_uploaded,
            state.disk_utilization,
            state.desired,
            sum(one.health in RUNNING for one in assessments.values()),
        )
        try:
            self.keep(taken)
        except OSError as error:
            self.action_log.once(
                "samples", f"{NAME} cannot be written: {error.strerror}"
            )
