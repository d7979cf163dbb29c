"""What Docker Compose makes of the lines of `.env`.

Only the standard library, and nothing newer than Python 3.8: `check_env` runs where
nothing is installed. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import NamedTuple

_LINE = re.compile(r"\s*(?:export\s+)?([A-Za-z_][A-Za-z0-9_.\-]*)\s*=[ \t]*(.*)")
_COMMENT = re.compile(r"\s+#.*$")
#: `$$`, `${…}`, `$name`; any other `$` is one.
_DOLLAR = re.compile(r"\$(?:(\$)|\{([^}]*)\}|([A-Za-z_][A-Za-z0-9_]*))")
#: A name in braces, and what to take where it is not set.
_NAME = re.compile(r"([A-Za-z_][A-Za-z0-9_]*)(?::?-(.*))?")
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", "b": "\b", "f": "\f", "v": "\v", "a": "\a"}


class Entry(NamedTuple):
    """A variable: its value as Compose has it, and in which way that is not what stands
    in the file. `replaced` are the names of variables put in; `broken` is why Compose
    refuses the whole file."""

    name: str
    line: int
    value: str
    quote: str = ""
    replaced: tuple[str, ...] = ()
    dollars: bool = False
    comment: bool = False
    after_quote: bool = False
    escapes: bool = False
    broken: str = ""


def entries(text: str, around: Mapping[str, str]) -> Iterator[Entry]:
    """Yields the variables of a file, in its order. `around` is the environment, whose
    values are put in for `$name`, before those of earlier lines."""
    known: dict[str, str] = {}
    for number, line in enumerate(text.lstrip("\ufeff").splitlines(), start=1):
        found = None if line.lstrip().startswith("#") else _LINE.fullmatch(line)
        if found is None:
            continue
        one = _entry(found[1], number, found[2], {**known, **around})
        known[one.name] = one.value
        yield one


def _entry(name: str, number: int, rest: str, known: Mapping[str, str]) -> Entry:
    if rest[:1] not in ("'", '"'):
        bare = _COMMENT.sub("", rest)
        return _filled(
            Entry(name, number, bare.strip(), comment=bare.rstrip() != rest.rstrip()),
            known,
        )
    quote = rest[0]
    inner, after = _quoted(rest)
    if inner is None:
        return Entry(name, number, "", quote, broken="its quote is not closed")
    left = bool(_COMMENT.sub("", after).strip().split("#")[0])
    if quote == "'":
        return Entry(name, number, inner.replace("\\'", "'"), quote, after_quote=left)
    one = Entry(name, number, inner, quote, after_quote=left, escapes="\\" in inner)
    return _filled(one, known)


def _quoted(rest: str) -> tuple[str | None, str]:
    """Returns what is inside the quotes, None when they are not closed; what follows."""
    quote, position = rest[0], 1
    while position < len(rest):
        if rest[position] == "\\":
            position += 2
            continue
        if rest[position] == quote:
            return rest[1:position], rest[position + 1 :]
        position += 1
    return None, ""


def _filled(one: Entry, known: Mapping[str, str]) -> Entry:
    """Puts variables in, outside single quotes."""
    replaced: list[str] = []
    broken: list[str] = []

    def put(found: re.Match[str]) -> str:
        if found[1]:
            return "$"
        name = _NAME.match(found[3] or found[2] or "")
        if name is None:
            broken.append(found[0])
            return ""
        replaced.append(name[1])
        return known.get(name[1], "") or name[2] or ""

    pieces = re.split(r"(\\.)", one.value) if one.quote else [one.value]
    text = "".join(
        _unescaped(piece)
        if one.quote and piece.startswith("\\")
        else _DOLLAR.sub(put, piece)
        for piece in pieces
    )
    bare = _DOLLAR.sub("", "".join(pieces))
    if broken or "${" in bare:
        return one._replace(value="", broken="its ${ is no variable")
    return one._replace(value=text, replaced=tuple(replaced), dollars="$$" in one.value)


def _unescaped(pair: str) -> str:
    return _ESCAPES.get(pair[1:], pair[1:])
