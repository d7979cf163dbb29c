"""Finding the edits in what an LLM wrote: fences, line numbers, prose. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

from auto_monitor.patch.edit_text import EditRefused

OLD = re.compile(r"^[ \t]*old_string:[ \t]*\|?[ \t]*$")
NEW = re.compile(r"^[ \t]*new_string:[ \t]*\|?[ \t]*$")

_OPENING = re.compile(r"^[ \t]*(`{3,}|~{3,})[ \t]*([\w+-]*)[ \t]*$")
_FUNCTION = re.compile(r"[ \t]*(?:@\w|def \w|async def \w|class \w)")
_NUMBERED = re.compile(r"^[ \t]*(\d+)(?:[ ]?[|:│]|\t|(?=[ ])|$)(.*)$")
#: The numbers as the question shows them: one line is enough to know them by.
_SHOWN = re.compile(r"^[ \t]*\d+[ ]?[|│]")
_DATA = frozenset({"json", "text", "txt", "console", "bash", "sh", "log", "traceback"})


@dataclass(frozen=True, slots=True)
class Block:
    """The text of an edit.

    `closed` means that its fence was closed, so nothing of it is missing.
    """

    lines: tuple[str, ...]
    closed: bool


def edits(reply: str) -> list[Block]:
    """Returns the blocks that are edits; the whole reply when nothing is fenced.

    A block without a function, old lines or a diff only explains.
    """
    lines = reply.replace("\r\n", "\n").split("\n")
    blocks = _fenced(lines)
    if blocks is None:
        blocks = [Block(tuple(lines), closed=False)]
    if not blocks:
        raise EditRefused("there are 0 fenced blocks of code; give exactly one")
    clean = [Block(tuple(unnumbered(trim(b.lines))), b.closed) for b in blocks]
    found = [block for block in clean if _is_edit(block)]
    if not found and len(clean) > 1:
        raise EditRefused(
            f"there are {len(clean)} fenced blocks and none is an edit; give exactly one"
        )
    if not found and not clean[0].lines:
        raise EditRefused("the block is empty")
    return found or clean


def _fenced(lines: Sequence[str]) -> list[Block] | None:
    """Returns the fenced blocks that may be code; None when nothing is fenced."""
    blocks: list[Block] = []
    place, fenced = 0, False
    while place < len(lines):
        opening = _OPENING.match(lines[place])
        if opening is None:
            place += 1
            continue
        fenced = True
        end = next(
            (n for n in range(place + 1, len(lines)) if lines[n].strip() == opening[1]),
            None,
        )
        if opening[2].lower() not in _DATA:
            blocks.append(Block(tuple(lines[place + 1 : end]), end is not None))
        place = len(lines) if end is None else end + 1
    return blocks if fenced else None


def _is_edit(block: Block) -> bool:
    return any(
        OLD.match(line) or line.lstrip().startswith("@@") or begins_function(line)
        for line in block.lines
    )


def begins_function(line: str) -> bool:
    """Whether a function, its decorators or the class around it begin here."""
    return _FUNCTION.match(line) is not None


def trim(lines: Sequence[str]) -> list[str]:
    """Removes blank lines at both ends."""
    filled = [n for n, line in enumerate(lines) if line.strip()]
    return list(lines[filled[0] : filled[-1] + 1]) if filled else []


def unnumbered(lines: Sequence[str]) -> list[str]:
    """Removes the line numbers of a listing, where every line has one."""
    filled = [line for line in lines if line.strip()]
    found = [_NUMBERED.match(line) for line in filled]
    numbers = [int(match[1]) for match in found if match]
    least = 1 if filled and _SHOWN.match(filled[0]) else 2
    if len(numbers) < max(least, len(filled)) or numbers != sorted(set(numbers)):
        return list(lines)
    rest = iter([match[2] for match in found if match])
    return [next(rest).rstrip() if line.strip() else "" for line in lines]
