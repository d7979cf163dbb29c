"""What differs between a book in Calibre and its ebook on the server. Pure.

One comparison with several uses: a further run sends what changed (`merge`), --verify
and the audit say what is not the same (`differences`).
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any

from common.json_value import Json
from common.sanitize import for_log
from migration.model import EbookMetadata, PersonName

#: The longest value in a report, in characters.
REPORTED = 200


class Field(StrEnum):
    """A field that is compared; the words are those of logs and reports."""

    TITLE = "title"
    AUTHORS = "authors"
    SERIES = "series"
    SERIES_INDEX = "series_index"
    LANGUAGE = "language"
    GENRES = "genres"
    RATING = "rating"
    COVER = "cover"
    FORMATS = "formats"
    SHELVES = "shelves"


@dataclass(frozen=True, slots=True)
class Fields:
    """The values of one book, as the server stores them.

    `authors` are in Calibre's order, or in the server's, which lists them by id;
    `language` is the server's code, `rating` the login's own, 0-100 or None; `cover` is
    the SHA-1 of a picture, "" without one: of Calibre's cover.jpg for a book, of what
    the server shows for an ebook. `formats` are extensions in lower case, `shelves` the
    names of bookshelves.
    """

    title: str = ""
    authors: tuple[PersonName, ...] = ()
    series: str | None = None
    series_index: int | None = None
    language: str = ""
    genres: frozenset[str] = frozenset()
    rating: float | None = None
    cover: str = ""
    formats: frozenset[str] = frozenset()
    shelves: frozenset[str] = frozenset()

    def of(self, field: Field) -> object:
        """Returns the value of a field in a form that can be compared.

        Authors compare without order, because the server does not keep it; an index
        counts only with a series.
        """
        if field is Field.AUTHORS:
            return frozenset(self.authors)
        if field is Field.SERIES_INDEX and self.series is None:
            return None
        value: object = getattr(self, field.value)
        return value

    def shown(self, field: Field) -> str:
        """Returns a field as text for people; it is not cleaned."""
        return _SHOWN.get(field, _plain)(getattr(self, field.value))

    def reported(self, field: Field) -> str:
        """Returns a field as a report shows it: cleaned and cut.

        By this text a value is recognised as the one that was reported.
        """
        return for_log(self.shown(field), REPORTED)


def _plain(value: object) -> str:
    return "" if value is None else str(value)


def _people(value: tuple[PersonName, ...]) -> str:
    return " & ".join(f"{one.first} {one.last}".strip() for one in value)


def _names(value: frozenset[str]) -> str:
    return ", ".join(sorted(value))


_SHOWN: Mapping[Field, Callable[..., str]] = {
    Field.AUTHORS: _people,
    Field.GENRES: _names,
    Field.FORMATS: _names,
    Field.SHELVES: _names,
    Field.RATING: lambda value: "" if value is None else f"{value:g}",
    Field.COVER: lambda value: f"a picture ({value[:8]})" if value else "none",
}


@dataclass(frozen=True, slots=True)
class Difference:
    """One field that is not the same, with both values as text."""

    field: Field
    calibre: str
    server: str


#: What `differences` compares; pictures are compared only where it is known what the
#: server made of ours.
COMPARED = tuple(field for field in Field if field is not Field.COVER)


def differences(
    book: Fields, ebook: Fields, over: tuple[Field, ...] = COMPARED
) -> tuple[Difference, ...]:
    """Returns what is not the same on the server, field by field.

    A cover differs when only one side has one: what the server shows is made from
    Calibre's picture, and never the same bytes.
    """
    found = [
        Difference(field, book.shown(field), ebook.shown(field))
        for field in over
        if field is not Field.COVER and book.of(field) != ebook.of(field)
    ]
    if bool(book.cover) and not ebook.cover:
        found.append(
            Difference(Field.COVER, book.shown(Field.COVER), ebook.shown(Field.COVER))
        )
    return tuple(found)


# -- the merge -------------------------------------------------------------------------


class Prefer(StrEnum):
    """Whose value stays where both sides changed a field."""

    CALIBRE = "calibre"
    SERVER = "server"


class Fate(StrEnum):
    """What happens to one field of a book."""

    SAME = "same"  #: nothing to do
    SEND = "send"  #: only Calibre changed it
    KEEP = "kept"  #: only the server changed it: its value stays
    CONFLICT_SEND = "conflict, Calibre's value sent"
    CONFLICT_KEEP = "conflict, the server's value kept"


#: The fates by which Calibre's value is sent.
SENT = frozenset({Fate.SEND, Fate.CONFLICT_SEND})


@dataclass(frozen=True, slots=True)
class Base:
    """What is known of the last time: Calibre's values, and the server's right after."""

    calibre: Fields
    server: Fields


#: What `merge` decides about; files and shelves have rules of their own.
MERGED = (
    Field.TITLE,
    Field.AUTHORS,
    Field.SERIES,
    Field.SERIES_INDEX,
    Field.LANGUAGE,
    Field.GENRES,
    Field.RATING,
    Field.COVER,
)


def merge(
    base: Base | None, server: Fields, calibre: Fields, prefer: Prefer
) -> dict[Field, Fate]:
    """Decides, field by field, what becomes of a book that may have changed.

    Series and index are one value here: an index alone means nothing. Without a base
    any difference may be a change of either side.
    """
    if base is None:
        both = Fate.CONFLICT_SEND if prefer is Prefer.CALIBRE else Fate.CONFLICT_KEEP
        return {
            field: Fate.SAME if server.of(field) == calibre.of(field) else both
            for field in MERGED
        }
    fates = {
        field: _fate(
            base.calibre.of(field) != calibre.of(field),
            _is_edit(server.of(field), base.server.of(field), base.calibre.of(field)),
            _is_same(field, server, calibre),
            prefer,
        )
        for field in MERGED
    }
    return _series_as_one(fates, base, server, calibre, prefer)


def _series_as_one(
    fates: dict[Field, Fate],
    base: Base,
    server: Fields,
    calibre: Fields,
    prefer: Prefer,
) -> dict[Field, Fate]:
    def pair(of: Fields) -> tuple[object, object]:
        return of.of(Field.SERIES), of.of(Field.SERIES_INDEX)

    fate = _fate(
        pair(base.calibre) != pair(calibre),
        _is_edit(pair(server), pair(base.server), pair(base.calibre)),
        pair(server) == pair(calibre),
        prefer,
    )
    changed = {
        field: fate
        for field in (Field.SERIES, Field.SERIES_INDEX)
        if server.of(field) != calibre.of(field)
    }
    same = dict.fromkeys((Field.SERIES, Field.SERIES_INDEX), Fate.SAME)
    return {**fates, **same, **changed}


def _is_edit(now: object, before: object, carried: object) -> bool:
    """Whether somebody's edit is on the server; Calibre's value of then is nobody's."""
    return now not in (before, carried)


def _is_same(field: Field, server: Fields, calibre: Fields) -> bool:
    """Whether both sides show the same. Pictures never do, but both may have none."""
    if field is Field.COVER:
        return not server.cover and not calibre.cover
    return server.of(field) == calibre.of(field)


def _fate(ours: bool, theirs: bool, equal: bool, prefer: Prefer) -> Fate:
    if equal or not (ours or theirs):
        return Fate.SAME
    if not theirs:
        return Fate.SEND
    if not ours:
        return Fate.KEEP
    return Fate.CONFLICT_SEND if prefer is Prefer.CALIBRE else Fate.CONFLICT_KEEP


# -- values ----------------------------------------------------------------------------


def of_metadata(metadata: EbookMetadata, cover: str) -> Fields:
    """Returns the fields of a book as they would be sent; `cover` is its SHA-1."""
    return Fields(
        title=metadata.title,
        authors=metadata.authors,
        series=metadata.series,
        series_index=metadata.series_index,
        language=metadata.language_code,
        genres=frozenset(name for _id, name in metadata.genres),
        rating=metadata.rating,
        cover=cover,
    )


def to_json(values: Fields) -> dict[str, Json]:
    """Returns the values as a JSON object."""
    return {
        "title": values.title,
        "authors": [[one.last, one.first] for one in values.authors],
        "series": values.series,
        "series_index": values.series_index,
        "language": values.language,
        "genres": [*sorted(values.genres)],
        "rating": values.rating,
        "cover": values.cover,
        "formats": [*sorted(values.formats)],
        "shelves": [*sorted(values.shelves)],
    }


def from_json(body: Mapping[str, Json], otherwise: Fields | None = None) -> Fields:
    """Returns the values of a JSON object of `to_json`.

    A field that is missing or of another type is that of `otherwise`.
    """
    base = otherwise or Fields()
    given: dict[str, Any] = {
        name: read(body[name]) for name, read in _READ.items() if name in body
    }
    return replace(
        base, **{name: value for name, value in given.items() if value is not _WRONG}
    )


#: Stands for a value of another type than the field's.
_WRONG = object()


def _as(*kinds: type) -> Callable[[Json], object]:
    """Reads a value of one of these types; a bool is no number."""
    return lambda value: (
        value if isinstance(value, kinds) and not isinstance(value, bool) else _WRONG
    )


def _as_names(value: Json) -> object:
    fits = isinstance(value, list) and all(isinstance(one, str) for one in value)
    return frozenset(value) if isinstance(value, list) and fits else _WRONG


def _as_people(value: Json) -> object:
    people = []
    for one in value if isinstance(value, list) else [None]:
        match one:
            case [str(last), str(first)]:
                people.append(PersonName(last, first))
            case _:
                return _WRONG
    return tuple(people)


_READ: Mapping[str, Callable[[Json], object]] = {
    "title": _as(str),
    "authors": _as_people,
    "series": _as(str, type(None)),
    "series_index": _as(int, type(None)),
    "language": _as(str),
    "genres": _as_names,
    "rating": _as(int, float, type(None)),
    "cover": _as(str),
    "formats": _as_names,
    "shelves": _as_names,
}


def only_different(values: Fields, base: Fields) -> dict[str, Json]:
    """Returns, as JSON, the fields of `values` that are not those of `base`."""
    before = to_json(base)
    return {
        name: value for name, value in to_json(values).items() if value != before[name]
    }
