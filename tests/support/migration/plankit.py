"""What a dry run foretells and what the run then does, in the same figures."""

import json
from pathlib import Path
from typing import Any

from migration.ledger import totals

LEFT = {
    "book no longer in Calibre, still on the server": "books removed",
    "format no longer in Calibre, still on the server": "formats removed",
}


def foretold(said: str) -> dict[str, Any]:
    """The figures of `--dry-run --json`."""
    plan = json.loads(said.splitlines()[-1])
    files, books = plan["files"], plan["books"]
    return {
        "sent": plan["send"]["files"],
        "bytes": plan["send"]["bytes"],
        "unchanged": files["unchanged"],
        "skipped": files["skipped"],
        "failed": files["refused"],
        "books updated": books["changed"],
        "fields": plan["changed_fields"],
        "books removed": books["removed"],
    }


def done(ledger: Path) -> dict[str, Any]:
    """The same of the newest pass; no two files of its library are alike."""
    found = totals.read(ledger)
    assert found is not None
    assert found.closed_at is not None
    with totals.opened(ledger) as db:
        rows = db.execute(
            "SELECT name, n FROM tallies WHERE pass_id = ? AND kind = 'updated'",
            (found.pass_id,),
        ).fetchall()
    updated = {row[0]: row[1] for row in rows if row[1]}
    books = updated.pop("book", 0)
    left = {LEFT[kind]: n for kind, n in found.noticed.items() if kind in LEFT}
    return {
        "sent": found.counts.uploaded,
        "bytes": found.bytes_uploaded,
        "unchanged": found.counts.duplicate,
        "skipped": found.counts.skipped,
        "failed": found.counts.failed,
        "books updated": books,
        "fields": updated,
        "books removed": left.get("books removed", 0),
    }


def everything_in(folder: Path) -> dict[str, tuple[int, int]]:
    """Size and time of every file below a folder."""
    return {
        str(path.relative_to(folder)): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
