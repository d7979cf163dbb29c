"""Which books a pass is about: a value, its words, its JSON, and the SQL for it. Pure.

The names have been looked up by then (`migration/calibre/selected.py`): no text of a
user's becomes part of a statement.
"""

import json
import unicodedata
from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

from common.json_value import Json
from common.sanitize import for_log
from common.settings import kinds
from common.settings.selecting import Selecting, id_span, since
from migration.metadata.ebook_metadata import language_tags


class By(StrEnum):
    """By what books are selected; the options without their dashes."""

    TAG = "tag"
    AUTHOR = "author"
    SERIES = "series"
    LANGUAGE = "language"
    FORMAT = "format"
    IDS = "ids"
    ADDED = "added-since"
    MODIFIED = "modified-since"


#: The tables of names and their link tables, with the column of the link.
NAMED = {
    By.TAG: ("tags", "name", "books_tags_link", "tag"),
    By.AUTHOR: ("authors", "name", "books_authors_link", "author"),
    By.SERIES: ("series", "name", "books_series_link", "series"),
    By.LANGUAGE: (
        "languages",
        "lang_code",
        "books_languages_link",
        "lang_code",
    ),
}
#: The columns of `books` with Calibre's times.
TIMES = {By.ADDED: "timestamp", By.MODIFIED: "last_modified"}


@dataclass(frozen=True, slots=True)
class Condition:
    """One of `values` has to apply, or with `excluded` none of them."""

    by: By
    values: tuple[str, ...]
    excluded: bool = False

    @property
    def option(self) -> str:
        """The option's name without its dashes."""
        return f"not-{self.by}" if self.excluded else str(self.by)

    @property
    def variable(self) -> str:
        """The name of the setting."""
        return f"SELECT_{self.option.replace('-', '_').upper()}"

    @property
    def shown(self) -> str:
        """Its values, for people."""
        between = "," if self.by is By.IDS else " or "
        return between.join(for_log(value, 80) for value in self.values)

    def __str__(self) -> str:
        return f"{self.option.replace('-', ' ')} {self.shown}"


@dataclass(frozen=True, slots=True)
class Selection:
    """All conditions have to hold; without any it is everything.

    Ages count back from `as_of`, which is when its pass was opened.
    """

    conditions: tuple[Condition, ...] = ()
    as_of: datetime = field(default=datetime(1, 1, 1, tzinfo=UTC), compare=False)

    def __bool__(self) -> bool:
        return bool(self.conditions)

    def __str__(self) -> str:
        return ", ".join(map(str, self.conditions)) or "everything"

    def same(self, other: "Selection") -> bool:
        """Whether both were asked for alike, however they spell it."""
        return self._asked() == other._asked()

    def _asked(self) -> Set[tuple[str, Set[str]]]:
        return frozenset(
            (one.option, frozenset(map(folded, one.values))) for one in self.conditions
        )

    def to_json(self) -> dict[str, Json]:
        """Returns what `from_json` reads."""
        return {
            "as_of": self.as_of.isoformat(),
            **{one.option: [*one.values] for one in self.conditions},
        }

    def variables(self) -> dict[str, str]:
        """Returns the settings that ask for it, by variable."""
        return {one.variable: kinds.joined(one.values) for one in self.conditions}


EVERYTHING = Selection()


def asked(settings: Selecting, now: datetime) -> Selection:
    """Returns what the settings ask for."""
    found = []
    for by in By:
        for excluded in (False, True):
            name = f"{'not_' if excluded else ''}{by.replace('-', '_')}"
            values = getattr(settings, f"select_{name}")
            if by is By.IDS:
                values = _id_texts(values)
            if values:
                found.append(Condition(by, tuple(values), excluded))
    return Selection(tuple(found), now)


def from_json(value: Mapping[str, Json]) -> Selection:
    """Returns a remembered selection. Raises ValueError for anything else."""
    conditions = []
    known = {f"{'not-' if no else ''}{by}": (by, no) for by in By for no in (0, 1)}
    for option, values in value.items():
        if option == "as_of":
            continue
        if option not in known or not isinstance(values, list) or not values:
            raise ValueError(f"no selection: {option}")
        by, excluded = known[option]
        texts = tuple(str(one) for one in values)
        for text in texts:
            _check(by, text)
        conditions.append(Condition(by, texts, bool(excluded)))
    return Selection(
        tuple(conditions), datetime.fromisoformat(str(value.get("as_of", "")))
    )


def _check(by: By, text: str) -> None:
    """Raises ValueError for a value that no option takes."""
    if by is By.IDS:
        id_span(text)
    elif by in TIMES:
        since(text, datetime.now(UTC))


def _id_texts(spans: Sequence[tuple[int, int]]) -> list[str]:
    """Merges spans that touch and returns them as an option has them."""
    merged: list[tuple[int, int]] = []
    for first, last in sorted(spans):
        if merged and first <= merged[-1][1] + 1:
            merged[-1] = (merged[-1][0], max(last, merged[-1][1]))
        else:
            merged.append((first, last))
    return [
        str(first) if first == last else f"{first}-{last}" for first, last in merged
    ]


# -- names -----------------------------------------------------------------------------


def folded(name: str) -> str:
    """Returns a name without differences of case, blanks and Unicode composition."""
    return " ".join(unicodedata.normalize("NFC", name).casefold().split())


def key(by: By, name: str) -> str:
    """Returns by what names of a kind are compared."""
    if by is By.LANGUAGE:
        return next(iter(language_tags(name)), folded(name))
    return name.upper() if by is By.FORMAT else folded(name)


def matches(by: By, wanted: str, name: str) -> bool:
    """Whether a name is the one that is wanted; both are keys.

    A tag is also matched by what is above it (Fiction: Fiction.Fantasy too).
    """
    return name == wanted or (by is By.TAG and name.startswith(f"{wanted}."))


# -- SQL -------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Where:
    """What follows a WHERE on `books`, and on `data`; "" for everything.

    Both begin with AND. The parameters stand in the order of the question marks.
    """

    books: str = ""
    of_books: tuple[object, ...] = ()
    files: str = ""
    of_files: tuple[object, ...] = ()

    @property
    def with_files(self) -> "Where":
        """The condition on `books` alone: with formats, a book has a file of these."""
        if not self.files:
            return self
        has = f"EXISTS (SELECT 1 FROM data WHERE data.book = books.id{self.files})"  # noqa: S608 - our own words
        return Where(f"{self.books} AND {has}", (*self.of_books, *self.of_files))


Lookup = Mapping[Condition, Sequence[int]]


def where(selection: Selection, ids: Lookup, columns: Mapping[str, Set[str]]) -> Where:
    """Returns the SQL for a selection whose names have these ids.

    `columns` are those of each table; what a library does not have, no book has.
    """
    books: list[str] = []
    of_books: list[object] = []
    files: list[str] = []
    of_files: list[object] = []
    for one in selection.conditions:
        said, given = _said(one, selection.as_of, ids, columns)
        # NULL, such as the unknown time of a book, is not a match.
        sql = f" AND {'NOT ' if one.excluded else ''}COALESCE({said}, 0)"
        (files if one.by is By.FORMAT else books).append(sql)
        (of_files if one.by is By.FORMAT else of_books).extend(given)
    return Where("".join(books), tuple(of_books), "".join(files), tuple(of_files))


def _said(
    one: Condition, as_of: datetime, ids: Lookup, columns: Mapping[str, Set[str]]
) -> tuple[str, list[object]]:
    if one.by is By.IDS:
        return _among([id_span(text) for text in one.values])
    if one.by is By.FORMAT:
        return (
            "UPPER(data.format) IN (SELECT value FROM json_each(?))",
            [json.dumps([value.upper() for value in one.values])],
        )
    if one.by in TIMES:
        return _since(one, as_of, columns)
    _table, _name, link, column = NAMED[one.by]
    linked = {"book", column} <= columns.get(link, frozenset())
    if not linked or not ids.get(one):
        return "0", []
    return (
        f"EXISTS (SELECT 1 FROM {link} AS chosen WHERE chosen.book = books.id "  # noqa: S608 - names of our own
        f"AND chosen.{column} IN (SELECT value FROM json_each(?)))",
        [json.dumps([*ids[one]])],
    )


def _among(spans: Sequence[tuple[int, int]]) -> tuple[str, list[object]]:
    single = [first for first, last in spans if first == last]
    wide = [list(span) for span in spans if span[0] != span[1]]
    parts, given = [], []
    if single:
        parts.append("books.id IN (SELECT value FROM json_each(?))")
        given.append(json.dumps(single))
    if len(wide) == 1:
        parts.append("books.id BETWEEN ? AND ?")
        return f"({' OR '.join(parts)})", [*given, *wide[0]]
    if wide:
        parts.append(
            "EXISTS (SELECT 1 FROM json_each(?) AS span WHERE books.id BETWEEN "
            "json_extract(span.value, '$[0]') AND json_extract(span.value, '$[1]'))"
        )
        given.append(json.dumps(wide))
    return f"({' OR '.join(parts)})", [*given]


def _since(
    one: Condition, as_of: datetime, columns: Mapping[str, Set[str]]
) -> tuple[str, list[object]]:
    column = TIMES[one.by]
    if column not in columns.get("books", frozenset()):
        return "0", []
    # The earliest of several: after any of them.
    moment = min(since(text, as_of) for text in one.values)
    return f"julianday(books.{column}) >= julianday(?)", [
        moment.replace(tzinfo=None).isoformat(" ", "seconds")
    ]
