"""The end of a migration as lines: for a terminal, and for `monitor.log`. Pure but for
what rich prints.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from auto_monitor.decide.end_page import Counted, End, Failure, Mood, Step
from common.sanitize import for_log

if TYPE_CHECKING:
    from rich.console import Console

_COLOURS = {
    Mood.WELL: "bold green",
    Mood.PARTLY: "bold yellow",
    Mood.BADLY: "bold red",
    Mood.OPEN: "bold yellow",
}
#: Fields and notices are listed beside each other in a sentence of this many at most.
MOST_NAMED = 12


@dataclass(frozen=True, slots=True)
class Line:
    """One line; what is to be pasted is not broken on a terminal."""

    text: str = ""
    indent: int = 0
    style: str = ""
    whole: bool = False


def lines(end: End) -> list[Line]:
    """Returns all lines, without an empty one at either end."""
    return [
        Line(end.title, style=_COLOURS[end.mood]),
        *(Line(for_log(text, 1000), 2, "red") for text in end.first),
        *_shelf(end),
        *_numbers(end),
        *_failures(end.failures),
        *_listed("Changed since the last run", end.changed),
        *_not_carried(end.not_carried),
        *_listed(
            "Left out or taken otherwise (each is named in the report)", end.noticed
        ),
        *_next(end.next),
        *([Line(), Line(f"Report: {end.report}", whole=True)] if end.report else []),
    ]


def as_text(end: End) -> str:
    """Returns the page for a log, each thing on one line."""
    return "\n".join(
        f"{' ' * line.indent}{line.text}" for line in lines(end) if line.text
    )


def draw(end: End, console: "Console") -> None:
    """Prints the page; long lines go on below their own beginning."""
    # rich is imported only where something is drawn: a running monitor draws nothing.
    from rich.text import Text

    console.print()
    for line in lines(end):
        begin = " " * line.indent
        shown = Text(line.text, style=line.style)
        if line.whole or not line.text:
            console.print(Text(begin) + shown, soft_wrap=True)
            continue
        for piece in shown.wrap(console, max(20, console.width - line.indent)):
            piece.rstrip()
            console.print(Text(begin) + piece, soft_wrap=True)
    console.print()


def _shelf(end: End) -> Iterator[Line]:
    if end.shelf:
        yield Line(f"Your shelf: {end.shelf}", 2, whole=True)
    if end.login:
        yield Line(f"Its login:  {end.login}", 2, whole=True)


def _numbers(end: End) -> Iterator[Line]:
    if end.equation:
        yield Line()
        yield Line(end.equation)
    for text in (end.pace, end.audit):
        if text:
            yield Line(text)


def _failures(failures: Sequence[Failure]) -> Iterator[Line]:
    if not failures:
        return
    number = sum(one.n for one in failures)
    yield Line()
    yield Line(f"Did not go: {number:,} file{'' if number == 1 else 's'}", style="bold")
    for one in failures:
        meant = f" ({one.meant})" if one.meant else ""
        yield Line(f"{one.n:,} {one.reason}{meant}", 2, "yellow")
        if one.why:
            yield Line(f"Why: {one.why}", 4)
        if one.do:
            yield Line(f"What to do: {one.do}", 4)
        if one.again:
            yield Line(f"Tried again: {one.again}", 4)
        for example in one.examples:
            yield Line(for_log(example), 4, "dim")
        if one.examples and one.n > len(one.examples):
            yield Line(
                f"and {one.n - len(one.examples):,} more, see the report", 4, "dim"
            )


def _listed(title: str, counted: Sequence[Counted]) -> Iterator[Line]:
    if not counted:
        return
    yield Line()
    yield Line(title, style="bold")
    for one in counted:
        do = f": {one.do}" if one.do else ""
        yield Line(f"{one.n:,} {for_log(one.what)}{do}", 2)


def _not_carried(fields: Sequence[Counted]) -> Iterator[Line]:
    """Yields fields with their numbers of books, as one sentence."""
    if not fields:
        return
    named = [f"{for_log(one.what)} {one.n:,}" for one in fields[:MOST_NAMED]]
    if len(fields) > MOST_NAMED:
        named.append(f"{len(fields) - MOST_NAMED} more fields")
    yield Line()
    yield Line("The server has no place for (field and number of books)", style="bold")
    yield Line(", ".join(named), 2)
    yield Line("Nothing of it is lost: not_carried.jsonl has it, a line per book.", 2)


def _next(steps: Sequence[Step]) -> Iterator[Line]:
    if not steps:
        return
    yield Line()
    yield Line("Next time", style="bold")
    for step in steps:
        yield Line(f"{step.what}{':' if step.command else ''}", 2)
        if step.command:
            yield Line(step.command, 4, whole=True)
