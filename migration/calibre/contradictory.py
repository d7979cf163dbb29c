"""Selections that are refused: above all those that leave out again what they ask for.

Pure.
"""

from collections.abc import Callable
from datetime import datetime

from common.settings.load import Sources
from common.settings.selecting import Selecting, id_span, selects, since
from migration.calibre.selection import (
    TIMES,
    By,
    Condition,
    Selection,
    asked,
    key,
    matches,
)


def objection(
    settings: Selecting, found: Sources, now: datetime, *, deletes: bool
) -> str:
    """Returns why a run cannot be about what these settings select, or "".

    `found` says where they come from, `deletes` that removed books are to be deleted.
    """
    if deletes and selects(settings):
        return "--delete-removed is about the whole library: leave out the selection"
    pair = contradiction(asked(settings, now))
    if pair is None:
        return ""
    wanted, excluded = pair
    return (
        f"{_said(wanted, found)} does not go with {_said(excluded, found)}: together "
        "they select nothing; leave one of them out"
    )


def contradiction(selection: Selection) -> tuple[Condition, Condition] | None:
    """Returns a condition and the one that leaves out all that it asks for."""
    excluding = {one.by: one for one in selection.conditions if one.excluded}
    for one in selection.conditions:
        other = excluding.get(one.by)
        if not one.excluded and other and _leaves_nothing(one, other, selection.as_of):
            return one, other
    return None


def _leaves_nothing(wanted: Condition, excluded: Condition, as_of: datetime) -> bool:
    if wanted.by in TIMES:
        begin, end = (
            min(since(text, as_of) for text in one.values) for one in (wanted, excluded)
        )
        return begin >= end
    covers = _spans_cover if wanted.by is By.IDS else _names_cover(wanted.by)
    return all(
        any(covers(more, value) for more in excluded.values) for value in wanted.values
    )


def _spans_cover(more: str, value: str) -> bool:
    # Both are merged, so that a span is never in two others.
    (lowest, highest), (first, last) = id_span(more), id_span(value)
    return lowest <= first and last <= highest


def _names_cover(by: By) -> Callable[[str, str], bool]:
    return lambda more, value: matches(by, key(by, more), key(by, value))


def _said(one: Condition, found: Sources) -> str:
    """Names a condition by its option, or else by its variable and where that is set."""
    if found.given(one.variable):
        return f"--{one.option} {one.shown}"
    origin = found.find(one.variable)
    return f"{one.variable}={one.shown} ({origin[1] if origin else 'a default'})"
