"""The catalogue of errors: what users are told about each, by code.

The texts are data, in `texts/*.toml`, one file per section of docs/errors.md. An
`[[error]]` explains the code of a class of the error tree, or of a message printed with
that code; a `[[notice]]` explains a message without one: a log line, or another
program's output. A translation is the same set of files in another folder.
"""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

TEXTS = Path(__file__).resolve().parent / "texts"
#: The default column titles of a table of notices.
COLUMNS = ("message", "why", "what to do")


@dataclass(frozen=True, slots=True)
class Message:
    """One message, or several with the same meaning; `…` stands for names and numbers.

    `ours` means that these programs print it, in these words, and not Docker or the
    server.
    """

    says: str
    why: str
    do: str
    ours: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """One code: its title, the reason, the remedy.

    `exits` are the exit statuses, none when the program goes on. `reason` is the
    ledger's word for a file that failed, `again` when such a file is retried.
    """

    code: str
    title: str
    why: str
    do: str
    exits: tuple[int, ...]
    reason: str
    again: str
    messages: tuple[Message, ...]
    text: str


@dataclass(frozen=True, slots=True)
class Section:
    """A part of the page: the messages of one program, or one kind of failure."""

    title: str
    level: int
    intro: str
    entries: tuple[Entry, ...]
    columns: tuple[str, ...]
    notices: tuple[Message, ...]
    outro: str


@cache
def sections() -> tuple[Section, ...]:
    """Returns all sections in the order of the page, that of the file names."""
    return tuple(_section(path) for path in sorted(TEXTS.glob("*.toml")))


def entries() -> Iterator[Entry]:
    """Yields the entries of all sections."""
    for section in sections():
        yield from section.entries


def find(code: str) -> Entry | None:
    """Returns the entry of a code, or None if there is none."""
    return next((entry for entry in entries() if entry.code == code), None)


def _section(path: Path) -> Section:
    """Parses a section.

    Raises KeyError or ValueError, with the file, for what no section may contain.
    """
    data = tomllib.loads(path.read_text("utf-8"))
    ours = bool(data.pop("ours", True))
    section = Section(
        title=data.pop("title"),
        level=data.pop("level", 2),
        intro=data.pop("intro", "").strip(),
        entries=tuple(_entry(one, ours) for one in data.pop("error", ())),
        columns=tuple(data.pop("columns", COLUMNS)),
        notices=tuple(_message(one, ours) for one in data.pop("notice", ())),
        outro=data.pop("outro", "").strip(),
    )
    _refuse_rest(data)
    return section


def _entry(data: dict[str, object], ours: bool) -> Entry:
    messages = data.pop("message", [])
    exits = data.pop("exit", [])
    assert isinstance(messages, list) and isinstance(exits, list)
    entry = Entry(
        code=str(data.pop("code")),
        title=_line(data.pop("title")),
        why=_line(data.pop("why")),
        do=_line(data.pop("do")),
        exits=tuple(int(one) for one in exits),
        reason=_line(data.pop("reason", "")),
        again=_line(data.pop("again", "")),
        messages=tuple(_message(one, ours) for one in messages),
        text=str(data.pop("text", "")).strip(),
    )
    _refuse_rest(data)
    return entry


def _message(data: dict[str, object], ours: bool) -> Message:
    message = Message(
        says=_line(data.pop("says")),
        why=_line(data.pop("why", "")),
        do=_line(data.pop("do", "")),
        ours=bool(data.pop("ours", ours)),
    )
    _refuse_rest(data)
    return message


def _line(text: object) -> str:
    """Joins the lines of a text that the file breaks."""
    return " ".join(str(text).split())


def _refuse_rest(data: Mapping[str, object]) -> None:
    if data:
        raise ValueError(f"unknown keys: {', '.join(data)}")
