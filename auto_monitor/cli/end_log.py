"""The end of a migration in `monitor.log`."""

from pathlib import Path

from auto_monitor.cli import end, end_text
from auto_monitor.record.action_log import ActionLog
from common.clock import utc_now
from migration.ledger import totals


def log(state_dir: Path, say: ActionLog) -> None:
    """Logs the page of the newest pass, on which nothing works any more."""
    try:
        found = end.read(state_dir, utc_now(), runs=False)
    except totals.UNREADABLE as error:
        say.warning("How the pass has ended cannot be read now: %s", error)
        return
    if found is not None:
        say.show(end_text.as_text(found))
