"""Renders docs/errors.md, and one code's explanation for a terminal; pure."""

import re
import textwrap
from collections.abc import Iterable, Iterator, Sequence

from common.errors.catalogue import Entry, Message, Section

_HEAD = """\
# Errors, and what to do about them

Written from `common/errors/texts/` by `python -m common.errors`; do not edit.

"""
_CODES = """\
## By code and exit status

A sentence that a program ends with, on the terminal or in its log, has its code in
brackets: `… [server-never-answered]`. Look for the code here, or let it be explained
where you are: `.venv/bin/python -m common.errors server-never-answered`, or
`calibre-to-mbs2 explain server-never-answered` when the package is installed.

"""


def page(sections: Sequence[Section]) -> str:
    """Returns the whole page; the first section is its introduction."""
    first, *rest = sections
    lines = [first.intro, "", *_notices(first), _CODES + _by_exit_status(rest), ""]
    for section in rest:
        lines += _section(section)
    return _HEAD + "\n".join(lines).strip() + "\n"


def explained(entry: Entry) -> str:
    """Returns an entry as plain text for a terminal, without Markdown."""
    parts = [f"{entry.code}: {entry.title}.", entry.why, f"What to do: {entry.do}"]
    if entry.exits:
        parts.append(f"Exit status: {_exits(entry)}.")
    said = [
        f"  {_plain(one.says)}\n"
        + "".join(f"    {_plain(text)}\n" for text in (one.why, one.do) if text)
        for one in entry.messages
    ]
    texts = [textwrap.fill(_plain(part), 88) for part in parts] + said
    return "\n".join([*texts, *([entry.text] if entry.text else [])]).rstrip() + "\n"


def _by_exit_status(sections: Iterable[Section]) -> str:
    """Which codes belong to a status; those of a program that goes on, by section."""
    found: dict[tuple[tuple[int, ...], str], list[str]] = {}
    for section in sections:
        for entry in section.entries:
            where = "" if entry.exits else section.title
            link = f"[`{entry.code}`](#{entry.code})"
            found.setdefault((entry.exits, where), []).append(link)
    known = sorted((key, codes) for key, codes in found.items() if key[0])
    others = [(key, codes) for key, codes in found.items() if not key[0]]
    rows = [
        (", ".join(map(str, exits)) or f"none ({where})", ", ".join(codes))
        for (exits, where), codes in known + others
    ]
    return "\n".join(_table(("exit status", "codes"), rows))


def _section(section: Section) -> Iterator[str]:
    yield from (f"{'#' * section.level} {section.title}", "")
    if section.intro:
        yield from (section.intro, "")
    for entry in section.entries:
        yield from _entry(entry, section.level + 1)
    if section.notices:
        if section.entries:
            yield from (f"{'#' * (section.level + 1)} Without a code", "")
        yield from _notices(section)
    if section.outro:
        yield from (section.outro, "")


def _entry(entry: Entry, level: int) -> Iterator[str]:
    facts = [
        *([f"Exit status {_exits(entry)}."] if entry.exits else []),
        *([f"Its reason: `{entry.reason}`."] if entry.reason else []),
        *([f"Tried again by itself: {entry.again}."] if entry.again else []),
    ]
    yield from (f"{'#' * level} {entry.code}", "")
    yield f"**{entry.title}.** {' '.join([*facts, _sentence(entry.why)])}"
    yield from ("", f"What to do: {_sentence(entry.do)}", "")
    yield from _messages(entry.messages)
    if entry.text:
        yield from (entry.text, "")


def _messages(messages: Sequence[Message]) -> Iterator[str]:
    """Yields a table of messages, without columns that would be empty."""
    if not any(one.why or one.do for one in messages):
        if messages:
            yield from (f"It says: {'; '.join(one.says for one in messages)}.", "")
        return
    columns = {"message": [one.says for one in messages]}
    if any(one.why for one in messages):
        columns["why"] = [one.why or "as above" for one in messages]
    if any(one.do for one in messages):
        columns["what to do"] = [one.do or "as above" for one in messages]
    rows = list(zip(*columns.values(), strict=True))
    yield from (*_table(tuple(columns), rows), "")


def _notices(section: Section) -> Iterator[str]:
    rows = [
        tuple(cell for cell in (one.says, one.why, one.do) if cell)
        for one in section.notices
    ]
    yield from (*_table(section.columns, rows), "")


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield f"| {' | '.join(columns)} |"
    yield f"| {' | '.join('---' for _ in columns)} |"
    for row in rows:
        yield f"| {' | '.join(_cell(text) for text in row)} |"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _exits(entry: Entry) -> str:
    return " or ".join(map(str, entry.exits))


def _sentence(text: str) -> str:
    """Capitalises the text and ends it with a full stop, as paragraphs need."""
    begun = text[:1].upper() + text[1:]
    return begun if not text or text[-1] in ".:!?" else f"{begun}."


def _plain(text: str) -> str:
    """Removes Markdown's marks."""
    return re.sub(
        r"\[([^]]+)\]\([^)]*\)", r"\1", text.replace("`", "").replace("**", "")
    )
