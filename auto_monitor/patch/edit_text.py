"""The text of an edit: hunks of a unified diff, and real lines similar to wanted ones.

Pure.
"""

import difflib
import re
from collections.abc import Sequence

#: How many real lines the LLM is shown when its edit matches nothing.
NEAREST_LINES = 14

_HUNK = re.compile(r"^@@(?: -\d+(?:,(\d+))? \+\d+(?:,(\d+))? @@.*|.*)$")


class EditRefused(Exception):
    """The edit cannot be applied.

    The message says why and shows the nearest real lines, for the next round.
    """


def split_hunks(body: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Returns header and lines of every hunk.

    Raises EditRefused for a line that does not belong to a hunk.
    """
    hunks: list[tuple[str, list[str]]] = []
    for line in body:
        if line.startswith("@@"):
            hunks.append((line, []))
        elif line[:1] in ("", " ", "+", "-"):
            hunks[-1][1].append(line)
        elif not line.startswith("\\"):
            raise EditRefused(
                f"{line[:60]!r} is not a line of a diff (they begin with a blank, + or -)"
            )
    for _header, hunk in hunks:
        while hunk and not hunk[-1].strip():
            hunk.pop()
    if not all(hunk for _header, hunk in hunks):
        raise EditRefused("a hunk has no lines")
    return hunks


def is_whole(header: str, hunk: Sequence[str]) -> bool:
    """Whether the end of the hunk is complete.

    By the header's counts; without them it must change something and end in context.
    This is checked only for the last hunk of a block whose fence was never closed.
    """
    match = _HUNK.match(header)
    if match is None or match[1] is None or match[2] is None:
        return hunk[-1][:1] in ("", " ") and any(
            line[:1] in ("+", "-") for line in hunk
        )
    old = sum(line[:1] in ("", " ", "-") for line in hunk)
    new = sum(line[:1] in ("", " ", "+") for line in hunk)
    return (old, new) == (int(match[1]), int(match[2]))


def nearest(lines: Sequence[str], wanted: Sequence[str]) -> str:
    """Returns the script's lines that look most like the wanted ones."""
    size = min(len(wanted), NEAREST_LINES)
    goal = [line.strip() for line in wanted[:size]]
    stripped = [line.strip() for line in lines]
    known = (
        {
            line: difflib.SequenceMatcher(None, goal[0], line).ratio()
            for line in set(stripped)
        }
        if goal
        else {}
    )
    best, place = -1.0, 0
    for start in range(max(1, len(lines) - size + 1)):
        here = stripped[start : start + size]
        score = sum(
            mine == theirs for mine, theirs in zip(here, goal, strict=False)
        ) + known.get(stripped[start], 0.0)
        if score > best:
            best, place = score, start
    return "\n".join(lines[place : place + max(size, 4)])
