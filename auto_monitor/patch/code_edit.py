"""Applying a code fix, given as text, to the script. Pure.

There are three formats; each must match exactly one place, or nothing is changed:

- whole functions: each replaces the function of the same name;
- `old_string:` … `new_string:` …: whole lines that occur once, and their replacement;
- a unified diff: applied by its context and removed lines, ignoring line numbers.

Only the lines an edit names change; no other byte moves. Repaired silently: CRLF, one
uniform shift of the indentation, a missing last newline or closing fence, prose around
the fence, and the source echoed as it was shown: with line numbers, or with its first
line moved to the margin. Everything else is refused.
"""

import ast
import difflib
import itertools
import re
import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

from auto_monitor.patch import source
from auto_monitor.patch.edit_blocks import (
    NEW,
    OLD,
    Block,
    begins_function,
    edits,
    trim,
    unnumbered,
)
from auto_monitor.patch.edit_text import EditRefused as EditRefused
from auto_monitor.patch.edit_text import is_whole, nearest, split_hunks
from auto_monitor.patch.source import Function, Source

#: The longest reply accepted, in characters.
LONGEST = 1_000_000

_ELISION = re.compile(
    r"^#\W*(?:\.\.\.|…)|^#.*(?:\.\.\.|…)\W*$"
    r"|^#.*\b(?:existing code|same as before|(?:remains|stays|is) unchanged"
    r"|unchanged (?:code|lines?|part)|rest of (?:the |this )?(?:code|function|method|body))",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class _Change:
    """Lines `start` to `end` (exclusive, from 0) of the script become `lines`."""

    start: int
    end: int
    lines: tuple[str, ...]


def apply(script: bytes, reply: str) -> bytes:
    """Returns the script with the reply's edit applied. Raises EditRefused.

    The result can be read in one way only, and only the intended lines differ. `reply`
    is fenced text, with or without prose around it.
    """
    if len(reply) > LONGEST:
        raise EditRefused(f"more than {LONGEST} characters are not looked at")
    found = source.read(script)
    changes = [change for block in edits(reply) for change in _changes(found, block)]
    result = _spliced(found, changes)
    source.read(result, "with this edit the script")
    return result


def _changes(found: Source, block: Block) -> list[_Change]:
    """Returns the changes of a block, by its format."""
    _refuse_hidden(block)
    lines = found.lines
    if any(OLD.match(line) for line in block.lines):
        return [_replacement(lines, block)]
    if any(line.lstrip().startswith("@@") for line in block.lines):
        return _hunks(lines, block)
    return _whole_functions(found, block)


def _spliced(found: Source, changes: Sequence[_Change]) -> bytes:
    """Returns the script with all changes, each placed on the original.

    What changes nothing, or is given twice, counts once. Raises EditRefused where two
    overlap.
    """
    real = {
        change
        for change in changes
        if found.lines[change.start : change.end] != change.lines
    }
    ordered = sorted(real, key=lambda change: (change.start, change.end))
    if any(before.end > after.start for before, after in itertools.pairwise(ordered)):
        raise EditRefused("two of the changes concern the same lines")
    known = set(found.lines)
    parts, place = [], 0
    for change in ordered:
        for line in change.lines:
            if line not in known and source.declares_encoding(line):
                raise EditRefused("a comment must not look like a declared encoding")
        parts += _with_ends(found, place, change.start)
        end = found.ends[change.start] or "\n"
        last = found.ends[change.end - 1]
        new = [line + end for line in change.lines]
        if new:
            new[-1] = change.lines[-1] + last
        parts += new
        place = change.end
    parts += _with_ends(found, place, len(found.lines))
    return "".join(parts).encode("utf-8")


def _with_ends(found: Source, start: int, end: int) -> list[str]:
    return [
        line + mark
        for line, mark in zip(
            found.lines[start:end], found.ends[start:end], strict=True
        )
    ]


# -- what is refused -------------------------------------------------------------------


def _refuse_hidden(block: Block) -> None:
    """Raises EditRefused for invisible characters and tabs."""
    for line in block.lines:
        sign = source.hidden(line)
        if sign is not None:
            raise EditRefused(f"the character U+{ord(sign):04X} is not allowed in code")


def _refuse_elision(old: Sequence[str], new: Sequence[str]) -> None:
    known = {line.strip() for line in old}
    for line in new:
        if line.strip() not in known and (
            _ELISION.search(line.strip()) or line.strip() in ("...", "…")
        ):
            raise EditRefused(
                f"{line.strip()!r} stands for code that was left out; write all lines"
            )


def _refuse_cut_off(block: Block, old: Sequence[str], new: Sequence[str]) -> None:
    """Without a closing fence, requires the same ending as the replaced code.

    The end may be missing otherwise.
    """
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
    """Returns the non-blank lines with indentation relative to the first.

    A whole block may be shifted.
    """
    filled = [
        (len(line) - len(line.lstrip()), line.strip()) for line in lines if line.strip()
    ]
    return [(columns - filled[0][0], text) for columns, text in filled]


# -- whole functions -------------------------------------------------------------------


def _whole_functions(found: Source, block: Block) -> list[_Change]:
    """Replaces the functions of these names."""
    known = [
        node
        for node in ast.walk(found.tree)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    rows, given = _given(block)
    changes = []
    for node in given:
        same = [other for other in known if other.name == node.name]
        if len(same) != 1:
            names = [other.name for other in known]
            near = difflib.get_close_matches(node.name, names, 3, 0.5)
            raise EditRefused(
                f"the script has {len(same)} functions named {node.name!r}; "
                f"nearest: {', '.join(near) or 'none'}"
            )
        begin, end = source.span(same[0])
        old = found.lines[begin - 1 : end]
        new = _in_place(rows, node, same[0])
        _refuse_elision(old, new)
        if node is given[-1]:
            _refuse_cut_off(block, old, new)
        changes.append(_Change(begin - 1, end, tuple(new)))
    return changes


def _in_place(rows: Sequence[str], node: Function, real: Function) -> list[str]:
    """Returns the lines of a function as they are indented in the script.

    The source may have been echoed with its first line at the margin and all others
    where they stand in the script.
    """
    first, last = source.span(node)
    new = rows[first - 1 : last]
    body = node.body[0]
    echoed = (
        node.col_offset == 0 < real.col_offset
        and body.lineno > node.lineno
        and body.col_offset == real.body[0].col_offset
    )
    if echoed:
        margin = " " * real.col_offset
        heads = {node.lineno, *(part.lineno for part in node.decorator_list)}
        return [
            margin + line if number in heads and line[:1] != " " else line
            for number, line in enumerate(new, first)
        ]
    return _moved(new, real.col_offset - node.col_offset)


def _given(block: Block) -> tuple[list[str], list[Function]]:
    """Returns the lines of a block and the functions in them."""
    start = next(
        (n for n, line in enumerate(block.lines) if begins_function(line)), None
    )
    if start is None:
        raise EditRefused(
            "there is no function, no old_string:, and no @@ in the block"
        )
    rows = list(block.lines[start:])
    # With a decorator, the first line alone may have lost its indentation.
    for text in (textwrap.dedent("\n".join(rows)), textwrap.dedent(_indented(rows))):
        if _parses(text):
            break
    else:
        text = textwrap.dedent("\n".join(rows))
    tree = _parse_longest(text, closed=block.closed)
    given = [node for part in tree.body for node in _functions_in(part)]
    if not given:
        raise EditRefused(
            "give whole functions (def and body, with their decorators), or "
            "old_string:/new_string:, or a unified diff"
        )
    return text.split("\n"), given


def _indented(rows: Sequence[str]) -> str:
    return "\n".join([f"    {rows[0]}", *rows[1:]])


def _functions_in(part: ast.stmt) -> list[Function]:
    """Returns the functions of a statement: one, or those of the class around them."""
    if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef):
        return [part]
    if isinstance(part, ast.ClassDef):
        return [node for inner in part.body for node in _functions_in(inner)]
    if isinstance(part, ast.Expr) and isinstance(part.value, ast.Constant):
        return []
    raise EditRefused(
        "give only whole functions (def and body, with their decorators); nothing else "
        "of the script may be changed"
    )


def _parse_longest(text: str, *, closed: bool) -> ast.Module:
    """Parses the text.

    When nothing was fenced, without the prose after the function.
    """
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
            f"the function is not valid Python: {source.explain(error)}"
        ) from None


def _parses(text: str) -> bool:
    try:
        ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _shift(lines: Sequence[str], columns: int) -> list[str]:
    """Moves the lines to the right; blank ones stay empty."""
    return [" " * columns + line if line.strip() else "" for line in lines]


# -- old_string, new_string ------------------------------------------------------------


def _replacement(lines: Sequence[str], block: Block) -> _Change:
    """Places the new lines where the old ones are."""
    olds = [n for n, line in enumerate(block.lines) if OLD.match(line)]
    news = [n for n, line in enumerate(block.lines) if NEW.match(line)]
    if len(olds) != 1 or len(news) != 1 or olds[0] > news[0]:
        raise EditRefused(
            "give exactly one line old_string: and, after it, one line new_string:"
        )
    old, new = (
        unnumbered(trim(block.lines[olds[0] + 1 : news[0]])),
        unnumbered(trim(block.lines[news[0] + 1 :])),
    )
    if not old:
        raise EditRefused("old_string: is empty")
    _refuse_elision(old, new)
    _refuse_cut_off(block, old, new)
    return _placed(lines, old, new)


def _placed(lines: Sequence[str], old: Sequence[str], new: Sequence[str]) -> _Change:
    """Finds the one place of the old lines, exact or uniformly shifted."""
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
    """Returns the uniform shift in columns; None when the lines differ."""
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
    """Moves the lines right, or left when `columns` is negative.

    Raises EditRefused when there is no room.
    """
    if columns >= 0:
        return _shift(lines, columns) if columns else list(lines)
    if any(line.strip() and line[:-columns].strip() for line in lines):
        raise EditRefused(
            "the indentation of the new lines does not fit that of the old ones"
        )
    return [line[-columns:] for line in lines]


# -- a unified diff --------------------------------------------------------------------


def _hunks(lines: Sequence[str], block: Block) -> list[_Change]:
    """Places every hunk; a uniform indentation of the whole diff is removed first."""
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
