"""A pass is audited before it is closed: what its workers say, and how they end."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from common.clock import SteadyClock
from migration.checks.audit import PassAudit
from migration.ledger import totals
from migration.ledger.ledger import Ledger
from migration.ledger.records import Audited, AuditState, Look
from migration.model import EbookId
from migration.state_files.owner import this_process
from tests.support.libraries.librarykit import Library, epubs
from tests.support.migration.auditkit import not_audited_yet, order_for, patch
from tests.support.network.proxy import Decision, Do
from tests.support.servers.inprocess import LocalWorkers
from tests.support.servers.shelf import Shelf

FAST = {
    "RETRY_FIRST_SECONDS": "0.05",
    "PROBE_SECONDS": "0.2",
    "RECONCILE_AFTER_SECONDS": "1",
    "AUDIT": "auto",
}


@pytest.fixture
def library(tmp_path: Path) -> Library:
    """Three books."""
    made = Library(tmp_path / "library")
    made.add(*epubs(range(3)))
    return made


def last_pass(workers: LocalWorkers) -> totals.Totals:
    """The newest pass."""
    found = totals.read(workers.state_dir / "migration_ledger.db")
    assert found is not None
    return found


def test_a_pass_ends_proved_and_one_that_changes_nothing_is_not_audited(
    library: Library, shelf: Shelf, workers: LocalWorkers
) -> None:
    """The last line says how much was read back."""
    code, said = workers.run(library.root, shelf, **FAST)
    assert code == 0, said
    assert "all 3 changed books read back from the server: proved" in said
    assert last_pass(workers).audited == Audited(AuditState.PROVED, 3, 3, 0)
    code, said = workers.run(library.root, shelf, **FAST)
    assert (code, "read back" in said) == (0, False), said
    assert last_pass(workers).audited == Audited()


def test_what_is_read_back_is_a_setting(
    library: Library, shelf: Shelf, workers: LocalWorkers
) -> None:
    """A share, or nothing."""
    code, said = workers.run(library.root, shelf, "--audit", "50%", **FAST)
    assert code == 0, said
    assert "2 of 3 changed books read back from the server: sampled" in said
    library.add(*epubs([7]))
    code, said = workers.run(library.root, shelf, "--audit", "off", **FAST)
    assert (code, "not audited (--audit off)" in said) == (0, True), said


def test_a_wrong_title_planted_during_the_pass_is_exit_8_until_it_is_right(
    library: Library, shelf: Shelf, workers: LocalWorkers, proxies: Callable[..., Shelf]
) -> None:
    """Named in the log and counted; looked at again by each later pass."""
    planted: list[int] = []

    def plant(method: str, path: str) -> Decision:
        if path.endswith("/add-upload") and "/3/" in path and not planted:
            planted.append(1)
            patch(shelf, 1, title="Planted")
        return Do.PASS

    behind = proxies(shelf, plant)
    code, said = workers.run(library.root, behind, "--parallel-uploads", "1", **FAST)
    assert code == 8, said
    assert (
        "(wrong title): ebook 1 of book 1: the server has 'Planted', and Calibre"
        in said
    )
    assert last_pass(workers).differences == {"wrong title": 1}
    code, said = workers.run(library.root, behind, **FAST)
    assert (code, last_pass(workers).differences) == (8, {"wrong title": 1}), said
    code, said = workers.run(library.root, behind, "--audit", "off", **FAST)
    assert (code, last_pass(workers).differences) == (8, {"wrong title": 1}), said
    patch(shelf, 1, title="Book 0")
    code, said = workers.run(library.root, behind, **FAST)
    assert (code, last_pass(workers).differences) == (0, {}), said


def test_an_audit_that_fails_twice_is_told(
    library: Library, shelf: Shelf, workers: LocalWorkers
) -> None:
    """With the reason; the pass is closed as not audited then."""
    assert workers.run(library.root, shelf, **FAST)[0] == 0
    not_audited_yet(workers.state_dir)
    ledger = Ledger(workers.state_dir, this_process(9), SteadyClock())
    order = replace(
        order_for(library, shelf, workers.state_dir), library=workers.state_dir
    )
    warned: list[str] = []
    log = _Log(warned)
    audit = PassAudit(ledger.end, order, log, lambda: None, lambda *_: None, str)  # type: ignore[arg-type]
    look = Look(1, EbookId(0), None, 0, ())
    result = audit(look)
    assert result.audited == Audited(AuditState.BROKEN)
    [difference] = result.differences
    assert (difference.kind, len(warned)) == ("not audited", 2)
    assert "metadata.db" in difference.message
    ledger.close()


class _Log:
    """Keeps warnings."""

    def __init__(self, warned: list[str]) -> None:
        self._warned = warned

    def warning(self, text: str, *values: object) -> None:
        self._warned.append(text % values)

    def info(self, text: str, *values: object) -> None:
        assert text % values
