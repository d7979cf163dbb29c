"""What a person is told about each error: one catalogue, by code.

The texts are data, in `texts/*.toml`, one file per section of docs/errors.md. An
`[[error]]` explains the code of a class of the error tree, or of a sentence that is said
with that code; a `[[notice]]` explains what is said without one: a line of a log, another
program's words. A translation is the same files in another folder.
"""

import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

TEXTS = Path(__file__).resolve().parent / "texts"
#: What the columns of a table of notices are called, unless a section says otherwise.
COLUMNS = ("message", "why", "what to do")


@dataclass(frozen=True, slots=True)
class Message:
    """One sentence, or several that mean the same; `…` stands for names and numbers.

    `ours`: these programs say it, in these words. Not so what Docker says, or the server.
    """

    says: str
    why: str
    do: str
    ours: bool


@dataclass(frozen=True, slots=True)
class Entry:
    """One code: its title, the reason, the way out.

    `exits` are the statuses a program ends with, none when it goes on. `reason` is the
    word of the ledger for a file that failed, `again` when such a file is tried again.
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
    """A part of the page: what one program says, or one kind of trouble."""

    title: str
    level: int
    intro: str
    entries: tuple[Entry, ...]
    columns: tuple[str, ...]
    notices: tuple[Message, ...]
    outro: str


@cache
def sections() -> tuple[Section, ...]:
    """All of them, in the order of the page, which is that of the files' names."""
    return tuple(_section(path) for path in sorted(TEXTS.glob("*.toml")))


def entries() -> Iterator[Entry]:
    """Every code's."""
    for section in sections():
        yield from section.entries


def find(code: str) -> Entry | None:
    """The entry of a code; None when there is none."""
    return next((entry for entry in entries() if entry.code == code), None)


def _section(path: Path) -> Section:
    """Raises KeyError or ValueError, with the file, for what no section may hold."""
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
    """One line: the files break long texts."""
    return " ".join(str(text).split())


def _refuse_rest(data: Mapping[str, object]) -> None:
    if data:
        raise ValueError(f"unknown keys: {', '.join(data)}")
