"""What the server should show of a Calibre book: the plain mapping. Pure.

It says the same as `metadata.ebook_metadata` by other means, so that a mistake there,
or in a script that changed its result, is seen. Where Calibre's fields can be read in
more than one way (a sort without a comma, a name with `Jr.`), every reading is
accepted; a language that the plain table does not know is not compared.
"""

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from migration.audit import iso_languages
from migration.metadata.genres import SYNONYMS
from migration.model import Author, Book, Vocabulary

#: The server's limits, in characters.
TITLE, NAME = 256, 128
#: What is added to a name, with which it can be read in several ways.
_ADDED_WORDS = "jr sr inc ph.d phd md m.d i ii iii iv junior senior"
_ADDED = frozenset(_ADDED_WORDS.split())
#: The same where no comma says which part is which: titles and companies.
_PARTICULAR_WORDS = (
    "mr mrs ms dr prof agency corporation company co council committee institute "
    "national society club team"
)
_PARTICULAR = _ADDED | frozenset(_PARTICULAR_WORDS.split())
_SIGNS = re.compile(r"[(){}\[\],]")
_BRACKETS = frozenset("()[]{}")
_PARTS = re.compile(r"::| - |[./|>]")


@dataclass(frozen=True, slots=True)
class Person:
    """An author who should be there.

    `readings` are the (last, first) that are right. Without any, a name is right when it
    is made of `words`; without those too, for a name with brackets, any is.
    """

    name: str
    readings: frozenset[tuple[str, str]]
    words: frozenset[str] = frozenset()

    def is_this(self, last: str, first: str) -> bool:
        """Whether an author of the server is this one."""
        if self.readings:
            return (last, first) in self.readings
        found = _words(f"{last} {first}")
        return not self.words or (bool(found) and found <= self.words)

    @property
    def shown(self) -> str:
        """The author as people write it."""
        return self.name


@dataclass(frozen=True, slots=True)
class Expected:
    """What should be on the server.

    `languages` are the codes that are right, None when the language is not compared.
    `rating` is None, and then not compared, for a book without one.
    """

    title: str
    authors: tuple[Person, ...]
    series: str | None
    series_index: int | None
    languages: frozenset[str] | None
    genres: frozenset[str]
    rating: int | None
    cover: bool


def expected(book: Book, server: Vocabulary, default_language: str) -> Expected:
    """Returns what the server should show of a book."""
    series = (book.series[:TITLE].strip() or "Untitled") if book.series else None
    return Expected(
        title=book.title[:TITLE].strip() or "Untitled",
        authors=tuple(dict.fromkeys(map(person, book.authors))),
        series=series,
        series_index=_floor(book.series_index) if series else None,
        languages=languages(book.languages, server.languages, default_language),
        genres=genres(book.tags, server.genres),
        rating=_stars(book.rating),
        cover=book.cover is not None,
    )


def person(author: Author) -> Person:
    """Returns an author with the readings of name and sort."""
    name, sort = author.name.strip(), author.sort.strip()
    if not _too_long(name, sort):
        readings = _at_comma(name, sort) if "," in name + sort else _whole(name, sort)
        if readings:
            return Person(name, frozenset(readings))
    both = f"{name} {sort}"
    vague = _too_long(name, sort) or _BRACKETS & set(both)
    return Person(name, frozenset(), frozenset() if vague else _words(both))


def _at_comma(name: str, sort: str) -> Iterable[tuple[str, str]]:
    """Returns the reading of a sort with a comma; none where the name has one."""
    last, *rest = (part.strip() for part in sort.split(","))
    first = " ".join(part for part in rest if part)
    added = _words(first)
    plain = "," not in name and last and not added <= _ADDED and "inc" not in added
    return [(last, first)] if plain else []


def _whole(name: str, sort: str) -> Iterable[tuple[str, str]]:
    """Returns the readings without any comma; none for a name with additions."""
    if _BRACKETS & set(name + sort) or _PARTICULAR & _words(name):
        return []
    if sort == name:
        return [(name, "")]
    if not sort:
        *rest, last = name.split()
        return [(last, " ".join(rest))]
    return [(sort, ""), *_rotations(name, sort)]


def _rotations(name: str, sort: str) -> Iterable[tuple[str, str]]:
    """Yields (last, first) where the sort is the name with its last words first."""
    words = name.split()
    for cut in range(1, len(words)):
        first, last = " ".join(words[:cut]), " ".join(words[cut:])
        if f"{last} {first}" == sort:
            yield last, first


def _too_long(*texts: str) -> bool:
    return any(len(text) > NAME for text in texts)


def _words(text: str) -> frozenset[str]:
    plain = _SIGNS.sub(" ", text).split()
    return frozenset(word.lower().rstrip(".") for word in plain)


def languages(
    codes: tuple[str, ...], known: Mapping[str, int], default: str
) -> frozenset[str] | None:
    """Returns the server's codes that are right for a book; None if nobody can say."""
    wanted = iso_languages.short(codes[0] if codes else default)
    if not wanted:
        return None
    right = _codes(wanted, known)
    if right or not codes:
        return right or None
    fallback = iso_languages.short(default)
    return (_codes(fallback, known) or None) if fallback else None


def _codes(wanted: str, known: Mapping[str, int]) -> frozenset[str]:
    """Returns the server's codes of a language, or of the wider one."""
    for short in (wanted, iso_languages.WIDER.get(wanted, "")):
        found = [code for code in known if short and iso_languages.short(code) == short]
        if found:
            return frozenset(found)
    return frozenset()


def genres(tags: Iterable[str], known: Mapping[str, int]) -> frozenset[str]:
    """Returns the server's genres of Calibre's tags.

    A tag is taken whole, or else by the parts of its hierarchy.
    """
    by_name = {name.casefold(): name for name in known}
    found: set[str] = set()
    for tag in tags:
        whole = _genre(tag, by_name)
        parts = [whole] if whole else [_genre(part, by_name) for part in _parts(tag)]
        found.update(part for part in parts if part)
    return frozenset(found)


def _parts(tag: str) -> list[str]:
    return _PARTS.split(tag)


def _genre(tag: str, by_name: Mapping[str, str]) -> str:
    """Returns the server's genre of that name, or of a synonym; "" without any."""
    plain = " ".join(tag.casefold().replace("-", " ").split())
    meant = (name.casefold() for name in SYNONYMS.get(plain, ()))
    names = (tag.casefold().strip(), plain, *meant)
    return next((by_name[name] for name in names if name in by_name), "")


def _floor(index: float | None) -> int | None:
    if index is None or not math.isfinite(index) or abs(index) >= 2**31:
        return None
    return math.floor(index)


def _stars(rating: float | None) -> int | None:
    """Returns 0-100 for Calibre's 0-10, of which 0 means unrated."""
    if rating is None or not 0 < rating <= 10:
        return None
    return round(rating * 10)
