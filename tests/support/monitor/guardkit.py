"""The tables of the guard: what it must refuse, what it must let pass, and its rates."""

from collections.abc import Iterator
from dataclasses import dataclass

from auto_monitor.patch import code_edit, guard, source
from auto_monitor.patch.offered import names
from tests.support.monitor import hostile
from tests.support.monitor.editkit import fenced, functions
from tests.support.monitor.repairs import SCRIPT
from tests.support.monitor.repairs.kinds import Repair, Told, replace_once

#: Methods left in the small script, in which hostile lines are tried.
_SMALL = names(
    "__init__ pass_id next_range process_file excluded migrate limit_reached main"
)


@dataclass(frozen=True, slots=True)
class Tried:
    """One change that was tried, and the objections to it."""

    kind: str
    what: str
    objections: list[str]


def small(script: str = SCRIPT) -> str:
    """The script with few of its methods: the guard is as strict, and quicker."""
    found = source.read(script.encode())
    gone = [
        source.span(node)
        for node in source.functions(found.tree)
        if node.name not in _SMALL
    ]
    return "\n".join(
        line
        for number, line in enumerate(found.lines, 1)
        if not any(first <= number <= last for first, last in gone)
    )


def with_first_lines(script: str, name: str, lines: str) -> str:
    """The script with these lines first in a function's body (after its docstring)."""
    old = functions(script)[name]
    end = old.index('"""', old.index('"""') + 3) + 3
    more = "".join(f"\n        {line}" for line in lines.split("\n"))
    return script.replace(old, old[:end] + more + old[end:])


def hostile_lines(kind: str) -> Iterator[Tried]:
    """Tries the lines of one kind in a function of the script."""
    script = small()
    for lines in hostile.LINES[kind]:
        after = with_first_lines(script, "next_range", lines)
        yield Tried(kind, lines, guard.objections(script.encode(), after.encode()))


def hostile_changes() -> Iterator[Tried]:
    """Tries changes elsewhere, and in scripts that hold more because of a fault."""
    for name, hunk in hostile.CHANGES.items():
        after = replace_once(SCRIPT, hunk.shipped, hunk.broken)
        yield Tried(
            "elsewhere", name, guard.objections(SCRIPT.encode(), after.encode())
        )
    script = small()
    for name, (more, fault, answer) in hostile.LATER.items():
        before = replace_once(script, more.shipped, more.broken)
        before = replace_once(before, fault.shipped, fault.broken)
        after = replace_once(before, answer.shipped, answer.broken)
        yield Tried(
            "with a fault", name, guard.objections(before.encode(), after.encode())
        )


def answer_of(repair: Repair, script: str = SCRIPT) -> str:
    """A repair as an LLM writes it: the functions that change, whole."""
    before, after = repair.broken(script), repair.repaired(script)
    old, new = functions(before), functions(after)
    blocks = []
    for name in [this for this in new if this in old and old[this] != new[this]]:
        lines = new[name].split("\n")
        if repair.told is not Told.ECHOED:
            margin = len(lines[0]) - len(lines[0].lstrip())
            lines = [line[margin:] for line in lines]
        blocks.append(fenced("\n".join([lines[0].lstrip(), *lines[1:]])))
    if repair.told is Told.EXPLAINED:
        blocks.insert(0, fenced("It is asked for ever,\nand never told.", ""))
    return "".join(blocks)


def tried(repair: Repair, script: str = SCRIPT) -> Tried:
    """Tries a repair as an answer: the edit, then the guard."""
    before = repair.broken(script).encode()
    try:
        after = code_edit.apply(before, answer_of(repair, script))
    except code_edit.EditRefused as refusal:
        return Tried("repair", repair.name, [str(refusal)])
    if after.decode() != repair.repaired(script):
        return Tried("repair", repair.name, ["another script than the repair makes"])
    return Tried("repair", repair.name, guard.objections(before, after))
