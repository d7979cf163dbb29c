"""Whether the worker script in place is the released one. Pure."""

from collections.abc import Iterable

from auto_monitor.model import ChangedScript, HistoryEntry


def changed(
    entries: Iterable[HistoryEntry], name: str, digest: str, *, shipped: bool
) -> ChangedScript | None:
    """Returns what is known of a script that is not the released one; None for that one.

    `entries` are oldest first; `digest` is the script's hash, "" when it cannot be read.
    """
    if shipped or not digest:
        return None
    fixes = [
        entry
        for entry in entries
        if entry.script_after == digest and entry.promoted and not entry.rolled_back
    ]
    if not fixes:
        return ChangedScript(name)
    newest = fixes[-1]
    lines = newest.code_changes.full.splitlines() if newest.code_changes else []
    body = [line for line in lines if not line.startswith(("---", "+++"))]
    return ChangedScript(
        name,
        newest.timestamp,
        sum(line.startswith("+") for line in body),
        sum(line.startswith("-") for line in body),
    )
