"""What a script that an LLM has changed did is read back, by whichever pass can."""

import json
from dataclasses import asdict, replace
from pathlib import Path

from migration.errors import ExitCode
from migration.ledger.records import Audited, AuditState
from tests.support.environment import PASSWORD
from tests.support.libraries.librarykit import epubs
from tests.support.migration.auditkit import ebook_of, ledger_sql, patch
from tests.support.migration.told_worker import WorkerHarness
from tests.support.servers.shelf import Shelf

BOOKS = 4


def test_a_pass_of_a_changed_script_that_nobody_could_audit_is_read_back_later(
    tmp_path: Path, shelf: Shelf
) -> None:
    """All of it, by the released script, which has nothing to do and audits nothing."""
    worker = WorkerHarness(tmp_path / "worker", shelf.url)
    # For the audit, which is a process of its own.
    worker.options = replace(worker.options, password=PASSWORD)
    worker.library.add(*epubs(range(BOOKS)))
    worker.changed_script = "f" * 64
    assert worker.run() is ExitCode.OK
    state = worker.options.state_dir
    broken = json.dumps(asdict(Audited(AuditState.BROKEN)))
    ledger_sql(
        state,
        ("UPDATE passes SET audit = ?", (broken,)),
        (
            "INSERT INTO differences (ebook_id, book_id, kind, message, pass_id) "
            "VALUES (0, 0, ?, 'it broke', 1)",
            (AuditState.BROKEN.value,),
        ),
    )
    patch(shelf, ebook_of(state, 3), title="Other")
    worker.changed_script, worker.lines[:] = "", []
    assert worker.run() is ExitCode.DIFFERENCE
    assert worker.said(f"Reading back {BOOKS} of {BOOKS} changed books") == 1
    assert worker.said("stands a difference (wrong title)") == 1
