"""Names of a book's folder and files below the books directory. Pure.

They follow the server's own settings. Where the server turns whatever is not ASCII
into blanks, so that books in other scripts share folders, names here are transliterated.
"""

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from anyascii import anyascii

from common.sanitize import NAME_BYTES
from migration.metadata.sendable import LONGEST_EXTENSION
from migration.model import EbookMetadata, PersonName

#: The longest path below the books directory that the server's tables hold.
PATH_LENGTH = 512
COVER_NAME = "cover.jpg"
#: More folders in one another than this are refused: their names would be cut to
#: nothing.
MOST_PARTS = 10
#: From this many candidates on, free names are searched for by bisection.
_ONE_BY_ONE = 8
#: What `(1234567890)` behind a name needs.
_NUMBER_ROOM = 12
_LONGEST_PART = NAME_BYTES - _NUMBER_ROOM
_LONGEST_STEM = _LONGEST_PART - LONGEST_EXTENSION - 1
#: What all parts of a path may have together, with what separates them.
_ROOM = PATH_LENGTH - 2 * _NUMBER_ROOM - LONGEST_EXTENSION - 1

#: As the server removes them.
_FORBIDDEN = re.compile(r'[:*%|"<>?\\]')
_NOT_IN_EXTENSIONS = re.compile(r"[^a-z0-9]+")
_BLANK = re.compile(r"[\x00-\x20\x7f]+")
#: Names that Windows takes for devices; the folder may be shared with it.
_DEVICE = re.compile(r"(?:con|prn|aux|nul|com[0-9]|lpt[0-9])(?:\.|$)", re.IGNORECASE)
_SAMPLE = {
    "author": "a",
    "title": "t",
    "language": "l",
    "serie": "s",
    "serie_index": 1,
}

_ALONE = "%(title)s"
_IN_SERIES = "%(serie)s %(serie_index)d - %(title)s"


@dataclass(frozen=True, slots=True)
class Naming:
    """The server's BOOKS_FILE_SCHEMA and BOOKS_FILE_SCHEMA_SERIE, with its defaults.

    Raises ValueError, with a sentence, for one that gives no usable path.
    """

    alone: str = f"%(author)s/{_ALONE}(%(language)s)/%(author)s - {_ALONE}"
    in_series: str = (
        f"%(author)s/%(serie)s/{_IN_SERIES}(%(language)s)/%(author)s - {_IN_SERIES}"
    )

    def __post_init__(self) -> None:
        sample = {name: value for name, value in _SAMPLE.items() if "serie" not in name}
        for name, schema, values in (
            ("BOOKS_FILE_SCHEMA", self.alone, sample),
            ("BOOKS_FILE_SCHEMA_SERIE", self.in_series, _SAMPLE),
        ):
            if problem := _problem(schema, values):
                raise ValueError(f"{name} {problem}")


@dataclass(frozen=True, slots=True)
class Names:
    """A book's folder below the books directory, and its files without extension."""

    folder: str
    stem: str


def _problem(schema: str, values: dict[str, object]) -> str:
    """Returns why a schema cannot be used, "" if it can."""
    try:
        parts = (schema % values).split("/")
    except (KeyError, TypeError, ValueError):
        return (
            "has a placeholder that MyBookshelf2 does not know; it knows "
            f"{', '.join(f'%({name})s' for name in values)}"
        )
    if len(parts) < 2:
        return "names no folder, so that all books would share one cover"
    if len(parts) > MOST_PARTS or not all(part.strip(" .") for part in parts):
        return (
            f"is not a path of 2 to {MOST_PARTS} names below the books directory, "
            "each of which has a letter"
        )
    return ""


def book_names(metadata: EbookMetadata, naming: Naming) -> Names:
    """Returns how the server would name this book, by its true title.

    Neither folder nor file is ever empty, hidden, or outside; each part has room for a
    number behind it, and the file for its extension.
    """
    values: dict[str, object] = {
        "author": _value(_authors(metadata.authors), "No Authors"),
        "title": _value(metadata.title, "Book"),
        "language": _value(metadata.language_code, "und"),
        "serie": _value(metadata.series or "", "Series"),
        "serie_index": metadata.series_index or 0,
    }
    schema = naming.in_series if metadata.series else naming.alone
    *folders, stem = (_part(part) for part in (schema % values).split("/"))
    longest = _longest_part([*folders, stem])
    return Names(
        "/".join(_cut(part, min(longest, _LONGEST_PART)) for part in folders),
        _cut(stem, min(longest, _LONGEST_STEM)),
    )


def numbered(name: str, number: int) -> str:
    """Returns the candidate of this number for a name: `name`, `name(1)`, `name(2)`."""
    return f"{name}({number})" if number else name


def first_free(is_free: Callable[[int], bool]) -> int:
    """Returns the number of a candidate that is free, one of the first.

    When thousands have the same name, they are not all asked for.
    """
    for number in range(_ONE_BY_ONE):
        if is_free(number):
            return number
    taken, free = _ONE_BY_ONE - 1, _ONE_BY_ONE * 2
    while not is_free(free):
        taken, free = free, free * 2
    while free - taken > 1:
        middle = (taken + free) // 2
        taken, free = (taken, middle) if is_free(middle) else (middle, free)
    return free


def locations(folder: str, stem: str, extensions: Sequence[str]) -> tuple[str, ...]:
    """Returns the paths of a book's files in its folder, in the extensions' order."""
    taken = {COVER_NAME}
    found: list[str] = []
    for extension in extensions:
        name = _free_name(stem, extension, taken)
        taken.add(name.lower())
        found.append(f"{folder}/{name}")
    return tuple(found)


def plain_extension(extension: str) -> str:
    """Returns an extension without what a name of a file must not have."""
    return _NOT_IN_EXTENSIONS.sub("", extension.lower())[:LONGEST_EXTENSION] or "bin"


def thumbnail_name(ebook_id: int) -> str:
    """Returns the name of an ebook's thumbnail in the directory of thumbnails."""
    return f"{ebook_id}.jpg"


def is_inside(location: str) -> bool:
    """Whether a recorded path is a plain one below its directory."""
    parts = location.split("/")
    return all(part not in ("", ".", "..") for part in parts) and "\0" not in location


def _free_name(stem: str, extension: str, taken: Collection[str]) -> str:
    """Returns a file name that is not among these, whatever its case."""
    number = 0
    while (name := f"{numbered(stem, number)}.{extension}").lower() in taken:
        number += 1
    return name


def _authors(authors: Sequence[PersonName]) -> str:
    """Returns the authors as the server puts them into names: three at most."""
    if not authors:
        return ""
    if len(authors) == 1:
        return f"{_plain(authors[0].last)} {_plain(authors[0].first)}"
    shown = ", ".join(
        f"{_plain(author.last)} {_initials(author.first)}".strip()
        for author in authors[:3]
    )
    return f"{shown} and others" if len(authors) > 3 else shown


def _initials(first: str) -> str:
    return " ".join(word[0].upper() for word in _plain(first).split())


def _value(text: str, otherwise: str) -> str:
    """Returns what takes the place of a placeholder."""
    plain = _plain(text)
    return plain if plain.strip(" .,-") else otherwise


def _plain(text: str) -> str:
    """Returns one line of ASCII without a character that a path must not have."""
    ascii_only = anyascii(text).replace("/", "-")
    return _BLANK.sub(" ", _FORBIDDEN.sub("", ascii_only)).strip()


def _part(text: str) -> str:
    """Returns a component of a path: it does not begin or end with a dot or a blank."""
    plain = _plain(text).strip(" .")
    return f"_{plain}" if _DEVICE.match(plain) else plain or "_"


def _cut(part: str, length: int) -> str:
    return part[:length].rstrip(" .")


def _longest_part(parts: Sequence[str]) -> int:
    """Returns how long a part may be, so that all together fit into a path."""
    longest = _LONGEST_PART
    room = _ROOM - len(parts)
    while sum(min(len(part), longest) for part in parts) > room:
        longest -= 1
    return longest
