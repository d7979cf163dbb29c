"""What people ask for through commands/, carried out by a real monitor over real
workers."""

import psutil
import pytest

from auto_monitor.cli import commands
from auto_monitor.cli.commands import Command, CommandKind
from auto_monitor.model import WorkerRecord
from auto_monitor.record.history import history_path, standings_in
from auto_monitor.record.state_file import MonitorStateFile, state_path
from migration.ledger import totals
from migration.model import BookId, FileId
from migration.state_files import progress
from tests.support.environment import end
from tests.support.migration.workerkit import wait_for
from tests.support.monitor.watchkit import Watch

pytestmark = pytest.mark.integration


def record(watch: Watch, number: int) -> WorkerRecord | None:
    """What the monitor remembers of worker N."""
    state = MonitorStateFile(state_path(watch.state)).read()
    return state.workers.get(number) if state else None


def ask(watch: Watch, kind: CommandKind, number: int) -> None:
    """As the page does."""
    commands.leave(watch.state, Command(kind, number))


def test_a_worker_paused_by_a_person_stays_paused_until_it_is_resumed(
    watch: Watch,
) -> None:
    """Also when the monitor is started again; no attempt is made on it; the others do
    its work."""
    # a command wakes the monitor long before its next look
    watch.more["CHECK_INTERVAL_SECONDS"] = "30"
    monitor = watch.start("--workers", "2")
    process = watch.worker(2)
    ask(watch, CommandKind.PAUSE, 2)
    wait_for(
        lambda: not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    )
    wait_for(lambda: (known := record(watch, 2)) is not None and known.paused_by_hand)
    end(monitor)
    watch.more["CHECK_INTERVAL_SECONDS"] = "0.5"
    again = watch.start("--workers", "2")
    seen = progress.read(progress.progress_path(watch.state, 1))
    wait_for(
        lambda: (
            (now := progress.read(progress.progress_path(watch.state, 1))) is not None
            and now.pid != (seen and seen.pid)
        )
    )
    known = record(watch, 2)
    assert known is not None
    assert known.paused_by_hand
    assert standings_in(history_path(watch.state)) == {}
    ask(watch, CommandKind.RESUME, 2)
    wait_for(
        lambda: (known := record(watch, 2)) is not None and not known.paused_by_hand
    )
    _out, said = again.communicate(timeout=120)
    assert again.returncode == 0, said
    assert (
        "Pausing worker 2, as asked" in (watch.state / "auto_restart.log").read_text()
    )
    assert watch.history() == []
    watch.all_arrived_once()


def test_a_worker_is_restarted_and_nothing_counts_as_an_attempt(watch: Watch) -> None:
    """Another process, the same files, each once. What cannot be done is said."""
    monitor = watch.start("--workers", "2")
    before = watch.worker(1)
    ask(watch, CommandKind.RESTART, 1)
    ask(watch, CommandKind.RESUME, 2)
    ask(watch, CommandKind.RESTART, 7)
    wait_for(
        lambda: (
            (known := record(watch, 1)) is not None
            and known.identity is not None
            and known.identity.pid != before.pid
        )
    )
    _out, said = monitor.communicate(timeout=120)
    assert monitor.returncode == 0, said
    assert "Worker 2 is not paused: nothing to resume" in said
    assert "Worker 7 is none of ours now" in said
    assert watch.history() == []
    watch.all_arrived_once()


def test_a_failed_file_is_retried_while_the_pass_is_open(watch: Watch) -> None:
    """It was mended meanwhile: it arrives in the same pass. The monitor itself writes
    no ledger."""
    bad = watch.library.file(1)
    good = bad.read_bytes()
    bad.write_bytes(b"")
    ledger = watch.state / "migration_ledger.db"
    monitor = watch.start("--workers", "1")
    wait_for(
        lambda: (found := totals.read(ledger)) is not None and found.counts.failed == 1
    )
    bad.write_bytes(good)
    commands.leave(
        watch.state, Command(CommandKind.RETRY, files=(FileId(BookId(1), "EPUB"),))
    )
    _out, said = monitor.communicate(timeout=120)
    assert monitor.returncode == 0, said
    assert "1 files are pending again" in said
    watch.all_arrived_once()
