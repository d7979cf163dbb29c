"""An edit as a model writes it: three formats, and the forms around them. Pure."""

import itertools
import textwrap
from enum import StrEnum

from benchmarks.faults.faultlist.model import Edit, Fault, Wrong
from tests.support.monitor.editkit import as_diff, as_strings, fenced, functions
from tests.support.monitor.llmkit import decision


class Format(StrEnum):
    """How an edit is given."""

    FUNCTION = "function"
    STRINGS = "strings"
    DIFF = "diff"


class Form(StrEnum):
    """What a model makes of it besides."""

    PLAIN = "plain"
    PROSE = "prose around"
    NUMBERED = "line numbers"
    SHIFTED = "other indentation"
    TWO = "two blocks"


#: Every form in every format where it makes sense.
SHAPES = (
    (Format.STRINGS, Form.PLAIN),
    (Format.FUNCTION, Form.SHIFTED),
    (Format.DIFF, Form.PROSE),
    (Format.STRINGS, Form.NUMBERED),
    (Format.FUNCTION, Form.TWO),
    (Format.DIFF, Form.PLAIN),
    (Format.STRINGS, Form.TWO),
    (Format.FUNCTION, Form.NUMBERED),
    (Format.STRINGS, Form.SHIFTED),
    (Format.FUNCTION, Form.PROSE),
    (Format.DIFF, Form.TWO),
)
BEFORE = "The evidence shows where it goes wrong. This is the change:\n\n"
AFTER = "\nIt keeps everything else as it is. Please watch the worker for a while.\n"


def right(fault: Fault, broken: str, shape: tuple[Format, Form]) -> str:
    """Returns the answer that mends the fault."""
    return code_fix(broken, fault.repair(), shape, fault.cause)


def wrong(fault: Fault, answer: Wrong, broken: str, shape: tuple[Format, Form]) -> str:
    """Returns a wrong answer."""
    if answer.edit is None:
        return decision("restart", root_cause=fault.cause)
    return code_fix(broken, answer.edit, shape, fault.cause)


def code_fix(broken: str, edit: Edit, shape: tuple[Format, Form], cause: str) -> str:
    """Returns a decision and the edit of the broken script, in this shape."""
    style, form = shape
    after = edit.of(broken)
    if style is Format.DIFF:
        code = as_diff(broken, after)
    elif style is Format.STRINGS:
        code = as_strings(*(_formed(part, form) for part in _lines(broken, after)))
    else:
        name = _function(broken, after)
        code = fenced(_formed((_place(after, name), functions(after)[name]), form))
    if form is Form.TWO:
        first, old = _lines(broken, after)[0]
        del first
        code = f"The lines at fault:\n{fenced(old)}\nThe change:\n{code}"
    elif form is Form.PROSE:
        code = BEFORE + code + AFTER
    return decision("code_fix", root_cause=cause) + code


def _formed(part: tuple[int, str], form: Form) -> str:
    """Returns lines that begin at a place of the script, in this form."""
    place, text = part
    if form is Form.NUMBERED and text:
        lines = text.split("\n")
        return "\n".join(numbered(n, line) for n, line in enumerate(lines, place))
    if form is Form.SHIFTED and text.lstrip().startswith(("def ", "@")):
        # As a tool shows a function: its first line without its indentation.
        return text.lstrip()
    return textwrap.dedent(text) if form is Form.SHIFTED else text


def numbered(number: int, line: str) -> str:
    """Returns a line as the question shows it."""
    return f"{number:>4}|{line}"


def _lines(before: str, after: str) -> tuple[tuple[int, str], tuple[int, str]]:
    """Returns place and lines that changed, old and new, with so much around them that
    the old ones occur once."""
    old, new = before.split("\n"), after.split("\n")
    first = _alike(old, new)
    last = _alike(old[first:][::-1], new[first:][::-1])
    while True:
        lines = "\n".join(old[first : len(old) - last])
        if lines.strip() and f"\n{before}\n".count(f"\n{lines}\n") == 1:
            changed = "\n".join(new[first : len(new) - last])
            return (first + 1, lines), (first + 1, changed)
        first, last = max(0, first - 1), max(0, last - 1)


def _alike(old: list[str], new: list[str]) -> int:
    pairs = zip(old, new, strict=False)
    return len(list(itertools.takewhile(lambda pair: pair[0] == pair[1], pairs)))


def _function(before: str, after: str) -> str:
    """Returns the name of the one function that changed."""
    old, new = functions(before), functions(after)
    (name,) = (name for name in new if new[name] != old[name])
    return name


def _place(text: str, name: str) -> int:
    """Returns the number of the first line of a function."""
    return text[: text.index(functions(text)[name])].count("\n") + 1
