"""A code fix as text → the changed script. Pure; three formats, and exactly one place
that matches, or nothing at all.

- a whole function: it replaces the one of its name;
- `old_string:` … `new_string:` …: whole lines that occur once, and what they become;
- a unified diff: applied by its context and removed lines, its line numbers are
  ignored.

Only the lines an edit names change; no other byte moves. What is repaired silently:
CRLF, one uniform shift of the indentation, a missing last newline or closing fence,
prose around the fence. Everything else is refused."""

import ast
import difflib
import itertools
import re
import textwrap
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from auto_monitor.patch.edit_text import EditRefused as EditRefused
from auto_monitor.patch.edit_text import is_whole, nearest, split_hunks

#: Longest reply and script that are looked at, characters.
LONGEST = 1_000_000

_OPENING = re.compile(r"^[ \t]*(`{3,}|~{3,})[ \t]*([\w+-]*)[ \t]*$")
_OLD = re.compile(r"^[ \t]*old_string:[ \t]*\|?[ \t]*$")
_NEW = re.compile(r"^[ \t]*new_string:[ \t]*\|?[ \t]*$")
_ELISION = re.compile(
    r"#.*(?:\.\.\.|…|unchanged|existing code|rest of|same as before)", re.IGNORECASE
)
_DATA = frozenset({"json", "text", "console", "bash", "sh"})


@dataclass(frozen=True, slots=True)
class _Block:
    """The text of an edit. `closed`: its fence was closed, so nothing of it is
    missing."""

    lines: tuple[str, ...]
    closed: bool


@dataclass(frozen=True, slots=True)
class _Change:
    """Lines `start` to before `end` (from 0) of the script become `lines`."""

    start: int
    end: int
    lines: tuple[str, ...]


def apply(source: str, reply: str) -> str:
    """The script with the reply's edit. Raises EditRefused; the result parses and
    differs from no line it should not.

    `source` is a Python file with LF or CRLF throughout; `reply` is fenced text, with
    prose around it or without."""
    if len(source) > LONGEST or len(reply) > LONGEST:
        raise EditRefused(f"more than {LONGEST} characters are not looked at")
    newline = "\r\n" if "\r\n" in source else "\n"
    lines = source.replace("\r\n", "\n").split("\n")
    block = _block(reply)
    _refuse_hidden(block)
    result = newline.join(_changed(lines, _changes(lines, block)))
    _parsed(result, "with this edit the script")
    return result


def _changes(lines: Sequence[str], block: _Block) -> list[_Change]:
    """What the block wants changed, by its format."""
    if any(_OLD.match(line) for line in block.lines):
        return [_replacement(lines, block)]
    if any(line.lstrip().startswith("@@") for line in block.lines):
        return _hunks(lines, block)
    return [_function(lines, block)]


def _changed(lines: Sequence[str], changes: Sequence[_Change]) -> list[str]:
    """The lines with all changes; each was placed on the original. Raises EditRefused
    where two overlap."""
    ordered = sorted(changes, key=lambda change: change.start)
    if any(before.end > after.start for before, after in itertools.pairwise(ordered)):
        raise EditRefused("two hunks change the same lines")
    result = list(lines)
    for change in reversed(ordered):
        result[change.start : change.end] = change.lines
    return result


# -- the text of an edit ---------------------------------------------------------------


def _block(reply: str) -> _Block:
    """The one fenced block of code; the whole reply when nothing is fenced."""
    lines = reply.replace("\r\n", "\n").split("\n")
    blocks: list[_Block] = []
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
        inside = lines[place + 1 : end]
        if opening[2].lower() not in _DATA:
            blocks.append(_Block(tuple(inside), end is not None))
        place = len(lines) if end is None else end + 1
    if not fenced:
        blocks = [_Block(tuple(lines), False)]
    if len(blocks) != 1:
        raise EditRefused(
            f"there are {len(blocks)} fenced blocks of code; give exactly one"
        )
    trimmed = _trim(blocks[0].lines)
    if not trimmed:
        raise EditRefused("the block is empty")
    return _Block(tuple(trimmed), blocks[0].closed)


def _trim(lines: Sequence[str]) -> list[str]:
    """Without blank lines at both ends."""
    filled = [n for n, line in enumerate(lines) if line.strip()]
    return list(lines[filled[0] : filled[-1] + 1]) if filled else []


def _refuse_hidden(block: _Block) -> None:
    """Characters nobody sees do not get into code, nor tabs, nor a comment instead of
    what it stands for."""
    for line in block.lines:
        hidden = next(
            (
                sign
                for sign in line
                if unicodedata.category(sign) in ("Cc", "Cf", "Cs", "Zl", "Zp")
            ),
            None,
        )
        if hidden is not None:
            raise EditRefused(
                f"the character U+{ord(hidden):04X} is not allowed in code"
            )


def _refuse_elision(old: Sequence[str], new: Sequence[str]) -> None:
    known = {line.strip() for line in old}
    for line in new:
        if line.strip() not in known and (
            _ELISION.search(line) or line.strip() in ("...", "…")
        ):
            raise EditRefused(
                f"{line.strip()!r} stands for code that was left out; write all lines"
            )


def _refuse_cut_off(block: _Block, old: Sequence[str], new: Sequence[str]) -> None:
    """Without a closing fence the end may be missing: then it must end as what it
    replaces does."""
    if block.closed:
        return
    endings = [_relative(old), _relative(new)]
    last = endings[0][-1] if endings[0] else None
    if (
        not endings[1]
        or endings[1][-1] != last
        or endings[1].count(last) < endings[0].count(last)
    ):
        raise EditRefused(
            "the closing ``` is missing, and the end may be too; give the whole block again"
        )


def _relative(lines: Sequence[str]) -> list[tuple[int, str]]:
    """The filled lines, each with its indentation relative to the first: a whole block
    may be shifted."""
    filled = [
        (len(line) - len(line.lstrip()), line.strip()) for line in lines if line.strip()
    ]
    return [(columns - filled[0][0], text) for columns, text in filled]


# -- a whole function ------------------------------------------------------------------


def _function(lines: Sequence[str], block: _Block) -> _Change:
    """The function of this name, replaced."""
    start = _first_line_of_function(block)
    text = textwrap.dedent("\n".join(block.lines[start:]))
    tree = _parse_longest(text, closed=block.closed)
    if len(tree.body) != 1 or not isinstance(tree.body[0], ast.FunctionDef):
        raise EditRefused(
            "give one whole function (def and body, with its decorators), or "
            "old_string:/new_string:, or a unified diff"
        )
    given = tree.body[0]
    first, last = _span(given)
    new = text.split("\n")[first - 1 : last]
    functions = _functions_of("\n".join(lines))
    found = [node for node in functions if node.name == given.name]
    if len(found) != 1:
        names = [node.name for node in functions if isinstance(node, ast.FunctionDef)]
        nearest = (
            ", ".join(difflib.get_close_matches(given.name, names, 3, 0.5)) or "none"
        )
        raise EditRefused(
            f"the script has {len(found)} functions named {given.name!r}; nearest: {nearest}"
        )
    begin, end = _span(found[0])
    old = lines[begin - 1 : end]
    if (
        given.body[0].col_offset - given.col_offset != _depth(found[0])
        and given.body[0].lineno > given.lineno
    ):
        raise EditRefused("the body is not indented under its def as in the script")
    shifted = _shift(new, len(old[0]) - len(old[0].lstrip(" ")))
    _refuse_elision(old, shifted)
    _refuse_cut_off(block, old, shifted)
    return _Change(begin - 1, end, tuple(shifted))


def _first_line_of_function(block: _Block) -> int:
    """Where the decorators or the def begin: prose may stand before them when nothing
    is fenced."""
    for number, line in enumerate(block.lines):
        if re.match(r"[ \t]*(?:@\w|def |async def )", line):
            return number
    raise EditRefused("there is no function, no old_string:, and no @@ in the block")


def _parse_longest(text: str, *, closed: bool) -> ast.Module:
    """The text parsed; when nothing was fenced, without the prose after the
    function."""
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        lines = text.split("\n")
        base = len(lines[0]) - len(lines[0].lstrip(" "))
        ends = [
            n
            for n, line in enumerate(lines)
            if n and line.strip() and len(line) - len(line.lstrip(" ")) <= base
        ]
        for end in () if closed else ends:
            before = "\n".join(lines[:end])
            if lines[end - 1].strip() == "" and _parses(before):
                return ast.parse(before)
        raise EditRefused(
            f"the function is not valid Python: {_explain(error)}"
        ) from None


def _parses(text: str) -> bool:
    try:
        ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


@lru_cache(maxsize=1)
def _functions_of(script: str) -> tuple[ast.FunctionDef | ast.AsyncFunctionDef, ...]:
    """All there are; every answer of a case is about the same script."""
    return tuple(
        node
        for node in ast.walk(_parsed(script, "the script"))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    )


def _span(node: ast.AST) -> tuple[int, int]:
    """First and last line, from 1, decorators included."""
    assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return first, node.end_lineno or node.lineno


def _depth(node: ast.AST) -> int:
    """By how many columns the body is indented under its def."""
    assert isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    return node.body[0].col_offset - node.col_offset


def _shift(lines: Sequence[str], columns: int) -> list[str]:
    """The lines moved to the right; blank ones stay empty."""
    return [" " * columns + line if line.strip() else "" for line in lines]


# -- old_string, new_string ------------------------------------------------------------


def _replacement(lines: Sequence[str], block: _Block) -> _Change:
    """The one place of the old lines, and the new ones for it."""
    olds = [n for n, line in enumerate(block.lines) if _OLD.match(line)]
    news = [n for n, line in enumerate(block.lines) if _NEW.match(line)]
    if len(olds) != 1 or len(news) != 1 or olds[0] > news[0]:
        raise EditRefused(
            "give exactly one line old_string: and, after it, one line new_string:"
        )
    old, new = (
        _trim(block.lines[olds[0] + 1 : news[0]]),
        _trim(block.lines[news[0] + 1 :]),
    )
    if not old:
        raise EditRefused("old_string: is empty")
    _refuse_elision(old, new)
    _refuse_cut_off(block, old, new)
    return _placed(lines, old, new)


def _placed(lines: Sequence[str], old: Sequence[str], new: Sequence[str]) -> _Change:
    """Old and new lines at the one place where the old ones are, exactly or all shifted
    alike."""
    for shift in (_exactly, _shift_between):
        found = []
        for start in range(len(lines) - len(old) + 1):
            columns = shift(lines[start : start + len(old)], old)
            if columns is not None:
                found.append((start, columns))
        if len(found) > 1:
            raise EditRefused(
                f"the old lines occur {len(found)} times; add lines around them "
                "until they occur once"
            )
        if found:
            start, columns = found[0]
            return _Change(start, start + len(old), tuple(_moved(new, columns)))
    raise EditRefused(
        f"the old lines do not occur in the script; the nearest are\n{nearest(lines, old)}"
    )


def _exactly(real: Sequence[str], given: Sequence[str]) -> int | None:
    return (
        0
        if [line.rstrip() for line in real] == [line.rstrip() for line in given]
        else None
    )


def _shift_between(real: Sequence[str], given: Sequence[str]) -> int | None:
    """By how many columns all given lines are off; None when they are not the same
    lines."""
    shifts = set()
    for mine, theirs in zip(real, given, strict=True):
        if mine.strip() != theirs.strip():
            return None
        if mine.strip():
            shifts.add(
                len(mine)
                - len(mine.lstrip(" "))
                - (len(theirs) - len(theirs.lstrip(" ")))
            )
    return shifts.pop() if len(shifts) == 1 else None


def _moved(lines: Sequence[str], columns: int) -> list[str]:
    """The lines moved right, or left when `columns` is negative. Raises EditRefused
    when there is no room."""
    if columns >= 0:
        return _shift(lines, columns) if columns else list(lines)
    if any(line.strip() and line[:-columns].strip() for line in lines):
        raise EditRefused(
            "the indentation of the new lines does not fit that of the old ones"
        )
    return [line[-columns:] for line in lines]


# -- a unified diff --------------------------------------------------------------------


def _hunks(lines: Sequence[str], block: _Block) -> list[_Change]:
    """Every hunk at its one place. One uniform indentation of the whole diff is taken
    away."""
    first = next(
        n for n, line in enumerate(block.lines) if line.lstrip().startswith("@@")
    )
    margin = len(block.lines[first]) - len(block.lines[first].lstrip(" "))
    if any(line[:margin].strip() for line in block.lines[first:]):
        raise EditRefused("the lines of the diff are not indented alike")
    body = [line[margin:] for line in block.lines[first:]]
    headers = [
        line.strip()
        for line in block.lines[:first]
        if line.lstrip().startswith(("--- ", "+++ "))
    ]
    if len(headers) > 2 or any(
        line.startswith(("--- ", "+++ ")) and "/" in line for line in body
    ):
        raise EditRefused("the diff changes more than one file")
    changes, hunks = [], split_hunks(body)
    if not (block.closed or is_whole(*hunks[-1])):
        raise EditRefused(
            "the closing ``` is missing, and the end of the diff may be too; give it again"
        )
    for _header, hunk in hunks:
        old = [line[1:] for line in hunk if line[:1] in ("", " ", "-")]
        new = [line[1:] for line in hunk if line[:1] in ("", " ", "+")]
        _refuse_elision(old, new)
        if not any(line.strip() for line in old):
            raise EditRefused(
                "a hunk has neither context nor removed lines: nobody can tell where it belongs"
            )
        changes.append(_placed(lines, old, new))
    return changes


# -- parsing ---------------------------------------------------------------------------


def _parsed(text: str, what: str) -> ast.Module:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise EditRefused(f"{what} is not valid Python: {_explain(error)}") from None


def _explain(error: BaseException) -> str:
    return (
        f"line {error.lineno}: {error.msg}"
        if isinstance(error, SyntaxError)
        else type(error).__name__
    )
