"""Values of metadata.db as Python has them, whatever type SQLite let in. Pure."""

import math
from collections import defaultdict

from common.json_value import Json
from common.sanitize import sanitize_text
from migration.model import Author

#: Calibre's value for an unknown date.
_UNDEFINED_DATE = "0101-01-01"
Rows = list[tuple[object, ...]]


def by_book(rows: Rows) -> dict[int, Rows]:
    grouped: dict[int, Rows] = defaultdict(list)
    for row in rows:
        grouped[integer_of(row[0]) or 0].append(row[1:])
    return grouped


def authors_of(rows: Rows, *, copied: bool) -> tuple[Author, ...]:
    """Returns the authors; Calibre stores a comma in a name as `|`.

    A sort that only repeats the name is left out where Calibre copies them.
    """
    authors = []
    for name, sort in rows:
        shown_name = text_of(name).replace("|", ",").strip()
        if shown_name:
            shown_sort = text_of(sort).replace("|", ",").strip()
            says_nothing = copied and shown_sort == shown_name
            authors.append(Author(shown_name, "" if says_nothing else shown_sort))
    return tuple(dict.fromkeys(authors))


def dates_of(values: dict[str, object]) -> dict[str, Json]:
    dates: dict[str, Json] = {}
    for name in ("pubdate", "timestamp", "uuid"):
        text = text_of(values[name])
        if text and not text.startswith(_UNDEFINED_DATE):
            dates[name] = text
    return dates


def texts_of(rows: Rows) -> tuple[str, ...]:
    return tuple(dict.fromkeys(text for row in rows if (text := text_of(row[0]))))


def text_of(value: object) -> str:
    """Returns the text of a column, whatever type SQLite let in; "" for NULL."""
    if value is None:
        return ""
    return sanitize_text(value if isinstance(value, bytes | str) else str(value))


def integer_of(value: object) -> int | None:
    return value if isinstance(value, int) else None


def real_of(value: object) -> float | None:
    """Returns a number or None.

    Infinities stay, since the metadata reports what is lost.
    """
    if isinstance(value, int | float):
        return None if isinstance(value, float) and math.isnan(value) else float(value)
    return None
