"""The stacks of a worker's threads, as they are compared and shown. Pure."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

_HEAD = re.compile(
    r"(?:Current thread|Thread) (.+?)(?: \[[^\]]*\])? \(most recent call first\):"
)
_FRAME = re.compile(r'File "(?:[^"]*/)?([^"/]+)", line \d+ in (\w+)')
#: The main thread does chores all the time, in this or that place.
MAIN = "MainThread"


@dataclass(frozen=True, slots=True)
class Stack:
    """The frames, innermost first, of threads that are all in the same place."""

    threads: tuple[str, ...]
    frames: tuple[str, ...]


def distinct(text: str) -> list[Stack]:
    """Returns each place once, with the threads that are there, in the text's order.

    A text without heads, as of a crash, is one stack.
    """
    names: list[str] = [""]
    frames: list[list[str]] = [[]]
    for line in text.splitlines():
        head = _HEAD.match(line.strip())
        if head is not None:
            names.append(head[1])
            frames.append([])
        elif line.strip():
            frames[-1].append(line.strip())
    places: dict[tuple[str, ...], list[str]] = {}
    for name, found in zip(names, frames, strict=True):
        if found:
            places.setdefault(tuple(found), []).append(name)
    return [
        Stack(tuple(filter(None, threads)), place) for place, threads in places.items()
    ]


def functions(frames: Iterable[str], script: str) -> set[str]:
    """Returns the functions of the script among these frames.

    `script` is the stem of its name, with which the names of candidates begin.
    """
    return {
        function
        for frame in frames
        for file, function in _FRAME.findall(frame)
        if file.startswith(script)
    }


def hung(text: str, script: str, *, main_moves: bool) -> set[str]:
    """Returns the functions of the script in which a worker hangs.

    While its main thread moves, that thread tells nothing as long as another is in the
    script: where it is just now differs from look to look. Of a stack without the
    script every place counts.
    """
    found = distinct(text)
    others = [stack for stack in found if set(stack.threads) != {MAIN}]
    inside = functions((f for stack in others for f in stack.frames), script)
    if main_moves and inside:
        return inside
    every = [frame for stack in found for frame in stack.frames]
    return functions(every, script) or {
        f"{file}:{function}"
        for frame in every
        for file, function in _FRAME.findall(frame)
    }
