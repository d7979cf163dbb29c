"""When to look at the library, and when to run another pass over it. Pure.

All times are the monitor's own: the clock of the machine that writes the library may be
wrong, so a file's time only says that it has changed, never how long ago.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum

from auto_monitor.model import LibrarySeen, WatchRecord, age
from migration.ledger.totals import Totals


@dataclass(frozen=True, slots=True)
class WatchPolicy:
    """How long until the next look, and how long the library must be left alone."""

    every: timedelta
    quiet: timedelta


class Step(StrEnum):
    """What to do after a look."""

    WAIT = "wait"
    PASS = "pass"  # noqa: S105 - a pass over the library


@dataclass(frozen=True, slots=True)
class Library:
    """What is known of the library between two passes.

    `carried` is its mark when the newest pass was opened; `owed` means that a pass is
    open that no worker works on. It has been as last `seen` `since` that time.
    `refused_at` is when a pass was last tried in vain.
    """

    carried: str = ""
    owed: bool = False
    seen: LibrarySeen | None = None
    since: datetime | None = None
    looked_at: datetime | None = None
    refused_at: datetime | None = None

    @property
    def has_changed(self) -> bool:
        """Whether it can be read, and differs from what the newest pass began with."""
        return self.seen is not None and self.seen.mark not in ("", self.carried)

    @property
    def trouble(self) -> str:
        """Why it cannot be read, or ""."""
        return "" if self.seen is None else self.seen.trouble


def noted(
    known: Library, seen: LibrarySeen, now: datetime, *, stirred: bool
) -> Library:
    """Adds a look; `stirred` means that something was written since the last one.

    A change also gives a pass that was refused another try.
    """
    same = known.seen is not None and known.seen.mark == seen.mark
    return replace(
        known,
        seen=seen,
        since=known.since if same and not stirred else now,
        looked_at=now,
        refused_at=known.refused_at if same else None,
    )


def next_look(known: Library, policy: WatchPolicy) -> datetime | None:
    """Returns when the next look is due; None for now.

    Sooner than usual while the library is unreadable or has not been left alone.
    """
    if known.looked_at is None:
        return None
    unsettled = known.trouble or (
        (known.has_changed or known.owed) and known.refused_at is None
    )
    span = min(policy.quiet, policy.every) if unsettled else policy.every
    return known.looked_at + span


def is_due(known: Library, now: datetime, policy: WatchPolicy) -> bool:
    """Whether it is time for a look, without an event."""
    due = next_look(known, policy)
    return due is None or now >= due


def step(known: Library, now: datetime, policy: WatchPolicy) -> Step:
    """Decides, right after a look, whether to run a pass."""
    if known.seen is None or known.since is None or not known.seen.mark:
        return Step.WAIT
    if not (known.has_changed or known.owed):
        return Step.WAIT
    if known.refused_at is not None and age(known.refused_at, now) < policy.every:
        return Step.WAIT
    return Step.PASS if age(known.since, now) >= policy.quiet else Step.WAIT


def alarm(known: Library, now: datetime, policy: WatchPolicy) -> str:
    """Returns why people should be told that the library cannot be read, or "".

    A tool that replaces the file makes it disappear for a moment, which is no reason.
    """
    lasts = known.since is not None and age(known.since, now) >= policy.quiet
    return known.trouble if lasts else ""


def opened(known: Library, mark: str) -> Library:
    """A pass was opened, or is worked on again, when the library had this mark.

    The next look is due as soon as the pass is closed.
    """
    return Library(carried=mark, seen=known.seen, since=known.since)


def refused(known: Library, now: datetime, *, owed: bool) -> Library:
    """A pass could not be opened, or no worker can work on it."""
    return replace(known, refused_at=now, owed=known.owed or owed, looked_at=now)


# -- in words --------------------------------------------------------------------------


def came_to(found: Totals) -> str:
    """Returns what a pass came to, as far as people wait for it."""
    parts = [f"{_number(found.counts.uploaded, 'file')} new"]
    if changed := found.updated.get("book", 0):
        parts.append(f"{_number(changed, 'book')} changed")
    if found.counts.failed:
        parts.append(f"{_number(found.counts.failed, 'file')} failed")
    return ", ".join(parts)


def said(known: Library, newest: str, policy: WatchPolicy) -> str:
    """Returns what the last look found; `newest` describes the newest pass."""
    if known.trouble:
        return f"the library cannot be read: {known.trouble}"
    if known.refused_at is not None:
        return "a pass cannot be run yet"
    if known.has_changed:
        return (
            "the library has changed; a pass follows when it has been left alone for "
            f"{_span(policy.quiet)}"
        )
    if known.owed:
        return "the pass goes on soon"
    return f"no change since {newest}" if newest else "no change"


def sentence(record: WatchRecord, now: datetime) -> str:
    """Returns the state of the watch in one line without book names."""
    parts = ["watching"]
    if record.looked_at is not None:
        ago = _span(age(record.looked_at, now))
        parts.append(f"looked {ago} ago: {record.found}")
    elif record.found:
        parts.append(record.found)
    if record.trouble:
        parts.append(record.trouble)
    if record.next_look_at is not None:
        parts.append(f"next look at {record.next_look_at:%H:%M} UTC")
    return "; ".join(parts)


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def _span(span: timedelta) -> str:
    seconds = span.total_seconds()
    if seconds < 120:
        return f"{seconds:.2g} s" if seconds < 10 else f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{round(minutes / 60)} h"
