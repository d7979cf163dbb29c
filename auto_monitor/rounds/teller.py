"""How a pass has ended is told: by an alert, in the report, as a page in the log."""

from dataclasses import dataclass
from datetime import datetime

from auto_monitor.act.assembly import ActedOn
from auto_monitor.decide.ending import sentence
from auto_monitor.ports import LedgerReader
from auto_monitor.record.memory import Memory
from migration.ledger.totals import Totals


@dataclass(slots=True)
class Teller:
    """Tells it, and in a dry run only the alert's sentence."""

    ledger: LedgerReader
    acted_on: ActedOn
    memory: Memory
    dry_run: bool
    #: When the pass was opened whose end has been told.
    _told: datetime | None = None

    def tell(self, found: Totals) -> None:
        """Tells how a pass has ended, once, before anything is mended."""
        if self._told == found.opened_at:
            return
        self._told = found.opened_at
        proved, alerts = self.ledger.proved(found.pass_id), self.acted_on.alerts
        well = proved and not found.differences
        script = self.memory.state.changed_script
        (alerts.announce if well else alerts.tell)(
            sentence(found, script, proved=proved)
        )

    def conclude(self) -> None:
        """Writes the report, then the page in the log: also of a pass that stays open."""
        if not self.dry_run:
            self.acted_on.report()
            self.acted_on.end()

    def leave(self) -> None:
        """Writes the page alone: there is no time for a report."""
        if not self.dry_run:
            self.acted_on.end()
