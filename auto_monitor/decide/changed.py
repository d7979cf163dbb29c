"""Which script is in place, and what became of a change of it. Pure."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from auto_monitor.model import HistoryEntry


@dataclass(frozen=True, slots=True)
class ChangedScript:
    """A worker script that is not the released one.

    `since` is when the newest code fix was made, "" when it is none of ours; `added` and
    `removed` are its lines.
    """

    name: str
    since: str = ""
    added: int = 0
    removed: int = 0

    def __str__(self) -> str:
        """One line for people."""
        if not self.since:
            return f"The workers' script {self.name} is not the released one"
        return (
            f"A code fix runs since {self.since}: {self.name} was changed (the last one: "
            f"+{self.added} -{self.removed} lines)"
        )


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


def commands(hint: Callable[[str], str]) -> str:
    """Which commands show a changed script, and take the change back."""
    return (
        f"{hint('diff')} shows what differs from the release, {hint('rollback')} takes "
        "it back"
    )


def given_way(names: Sequence[str], apply: str) -> str:
    """One line about code fixes of an earlier version, which are proposals now, or "".

    `apply` is the command that puts a proposal in place.
    """
    if not names:
        return ""
    more = f" (and {len(names) - 1} more)" if len(names) > 1 else ""
    return (
        "A new version's worker script took the place of one that a code fix had "
        f"changed. That is kept as a proposal{more}: {apply} tries it on the new one; "
        "or delete it in auto_monitor/proposals"
    )


def tried_before(after: str, entries: Iterable[HistoryEntry]) -> str:
    """Returns what became of this very change when it was tried; "" if it was not.

    One about which nothing was shown may be tried again.
    """
    for entry in reversed(list(entries)):
        if entry.script_after != after or entry.is_open:
            continue
        if entry.rolled_back and entry.verified is False:
            return f"the same change was tried at {entry.timestamp} and taken back: {entry.reason}"
        if entry.promoted and not entry.rolled_back:
            return f"the same change was put in place at {entry.timestamp}"
    return ""
