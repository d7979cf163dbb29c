"""A Calibre book as MyBookshelf2 accepts it. Pure.

Limits and naming rules are the server's (titles 256, names 128 characters, file names
255 bytes, paths 512). What has no place there goes to `EbookMetadata.not_carried`, by
field, so that it is not lost.
"""

import functools
import math
import re
from collections.abc import Iterable, Mapping, Sequence

from anyascii import anyascii

from common.json_value import Json
from common.sanitize import sanitize_text
from migration.errors import LanguageMissing
from migration.metadata import author_names
from migration.metadata.genres import SYNONYMS
from migration.model import Author, Book, BookId, EbookMetadata, PersonName, Vocabulary

TITLE_LENGTH = 256
NAME_LENGTH = 128
#: The longest working title, so that author, series and title together fit the server's
#: paths.
WORKING_LENGTH = 80
#: Bytes that authors and series together may add to a path on the server.
PATH_BUDGET = 120
INTEGER_LIMIT = 2**31 - 1

#: Macrolanguages that langcodes does not map to.
_MACROLANGUAGES = {"nb": "no", "nn": "no"}
_NOT_PLAIN = re.compile(r"[^A-Za-z0-9 \-]+")
#: The mark of a working title: part of a library's uuid, a book.
_MARKED = re.compile(r" ~[A-Za-z0-9 -]{1,8}-[0-9]+")
_EIGHT_HEX = re.compile(r"[0-9a-f]{8}")
_HIERARCHY = re.compile(r"[./|]|::| - |>")


def make_metadata(
    book: Book, vocabulary: Vocabulary, *, default_language: str, library_uuid: str
) -> EbookMetadata:
    """Returns the book's metadata for the server.

    Raises Misconfigured when the server lacks the default language.
    """
    lost: dict[str, Json] = dict(book.extras)
    language, language_id, exact = server_language(
        book.languages, vocabulary.languages, default_language
    )
    if not exact and book.languages:
        lost["language"] = list(book.languages)
    elif len(book.languages) > 1:
        lost["further languages"] = list(book.languages[1:])
    genres, unknown_tags = server_genres(
        book.tags, vocabulary.genres, vocabulary.synonyms
    )
    if unknown_tags:
        lost["tags"] = list(unknown_tags)
    title = _cut(book.title or "Untitled", TITLE_LENGTH, "title", lost)
    authors = tuple(dict.fromkeys(person(author) for author in book.authors))
    names = [author_names.split(author) for author in book.authors]
    if any(max(len(name.last), len(name.first)) > NAME_LENGTH for name in names):
        lost["authors"] = [author.name for author in book.authors]
    series = _cut(book.series, TITLE_LENGTH, "series", lost) if book.series else None
    return EbookMetadata(
        title=title,
        working_title=working_title(title, library_uuid, book.id),
        authors=authors,
        series=series,
        series_index=_index(book, lost) if series else None,
        language_id=language_id,
        language_code=language,
        genres=genres,
        rating=_rating(book.rating, lost),
        not_carried=lost,
    )


def working_title(title: str, library_uuid: str, book_id: BookId | int) -> str:
    """Returns a title that no other ebook has: `Voina i mir ~1a2b3c4d-17`.

    It has letters, digits, blanks, `-` and `~` only: `/`, `%` and `_` break the
    server's look-up by title, and other scripts become blanks in its directory names.
    """
    mark = f"{_library_mark(library_uuid)}{book_id}"
    plain = _NOT_PLAIN.sub(" ", anyascii(sanitize_text(title[:TITLE_LENGTH])))
    head = " ".join(plain.split())[: WORKING_LENGTH - len(mark)].strip(" -")
    return f"{head or 'Book'}{mark}"


def plain_title(working_title: str) -> str:
    """Removes the mark from a working title, for a book whose true title is refused."""
    return working_title.rpartition(" ~")[0] or working_title


def has_mark(folder: str) -> bool:
    """Whether the server named this folder after a working title, of any library."""
    return _MARKED.search(folder) is not None


def marked_book(title: str, library_uuid: str) -> BookId | None:
    """Returns the book that a working title of this library names.

    Returns None for other titles.
    """
    _head, mark, number = title.rpartition(_library_mark(library_uuid))
    return (
        BookId(int(number)) if mark and re.fullmatch(r"[0-9]{1,18}", number) else None
    )


def library_of(working_title: str) -> str:
    """Returns the eight hex digits by which a working title names its library.

    Returns "" where the library has no such id.
    """
    mark = working_title.rpartition(" ~")[2].partition("-")[0]
    return mark if _EIGHT_HEX.fullmatch(mark) else ""


def library_mark(library_uuid: str) -> str:
    """Returns the part of a library's uuid by which its books are known."""
    return _NOT_PLAIN.sub("", library_uuid)[:8]


def _library_mark(library_uuid: str) -> str:
    return f" ~{library_mark(library_uuid)}-"


def person(author: Author) -> PersonName:
    """Returns first and last name (`author_names.split`), cut to the server's limit."""
    name = author_names.split(author)
    return PersonName(name.last[:NAME_LENGTH].strip(), name.first[:NAME_LENGTH].strip())


def server_language(
    codes: Sequence[str], known: Mapping[str, int], default: str
) -> tuple[str, int, bool]:
    """Returns the server's code and id for Calibre's codes, and whether they match.

    A match is the same language or its macrolanguage (`cmn` is `zh`), never a
    neighbour; a country or a script counts only where the server distinguishes it
    (`pt_BR` is `pt-BR`, else `pt`). Raises Misconfigured when the default is needed and
    the server lacks it.
    """
    by_tag: dict[str, str] = {}
    for code in sorted(known, key=len):
        for tag in language_tags(code):
            by_tag.setdefault(tag, code)
    wanted = language_tags(codes[0]) if codes else ()
    own = next((by_tag[tag] for tag in wanted if tag in by_tag), None)
    if own is not None:
        return own, known[own], True
    fallback = next(
        (by_tag[tag] for tag in language_tags(default) if tag in by_tag), default
    )
    if fallback not in known:
        raise LanguageMissing(
            f"the server has no language {default!r}; set DEFAULT_LANGUAGE to one it has: "
            f"{', '.join(sorted(known)[:40]) or 'none at all'}"
        )
    return fallback, known[fallback], False


@functools.lru_cache(maxsize=4096)
def language_tags(text: str) -> tuple[str, ...]:
    """Returns standard tags of a language, most exact first: fr-fr and fr for `fr_FR`.

    Accepts ISO 639-1, -2/B, -2/T and -3 codes in any case, with a country, a script or
    an encoding (`fr_FR.UTF-8`), and ISO's names (`German`); returns () for anything
    else.
    """
    tag = text.strip().partition(".")[0].partition("@")[0].replace("_", "-").strip("-")
    primary = tag.partition("-")[0]
    standard = [_standard(part) for part in (tag, primary) if part]
    if not any(standard):
        standard = [_standard(_code_of_name(text.strip()))]
    wider = [_MACROLANGUAGES[found] for found in standard if found in _MACROLANGUAGES]
    return tuple(dict.fromkeys(found for found in (*standard, *wider) if found))


def _standard(tag: str) -> str:
    """Returns a tag's shortest form, or its macrolanguage's: rus -> ru, cmn -> zh.

    "" when it is not a tag.
    """
    # Imported here, because its tables cost as much as the rest of a worker's start.
    import langcodes
    from langcodes.tag_parser import LanguageTagError

    try:
        return langcodes.standardize_tag(tag, macro=True).lower()
    except LanguageTagError:
        return ""


def _code_of_name(name: str) -> str:
    """Returns the ISO 639-3 code of a language's name, "" when ISO has no such name."""
    # Imported here: it would cost every worker 40 ms, and Calibre itself writes codes.
    import pycountry

    try:
        return str(pycountry.languages.lookup(name).alpha_3)
    except LookupError:
        return ""


def server_genres(
    tags: Iterable[str],
    known: Mapping[str, int],
    synonyms: Mapping[str, str] | None = None,
) -> tuple[tuple[tuple[int, str], ...], tuple[str, ...]]:
    """Returns the server's genres for Calibre's tags, and the tags without one.

    Tags match by name in any case, then by the server's synonyms, then by ours; one
    such as `Fiction.Fantasy` is tried whole, then by its parts. There are no
    duplicates.
    """
    named = {name.casefold(): name for name in known}
    others = {
        other.strip().casefold(): named[name.strip().casefold()]
        for other, name in (synonyms or {}).items()
        if name.strip().casefold() in named
    }
    spelled = {**others, **named}
    found: dict[int, str] = {}
    unknown: list[str] = []
    for tag in tags:
        matches = [
            name
            for part in (tag, *_HIERARCHY.split(tag))
            if (name := _genre(part, spelled)) is not None
        ]
        whole = _genre(tag, spelled)
        for name in [whole] if whole is not None else matches:
            found.setdefault(known[name], name)
        if not matches:
            unknown.append(tag)
    return tuple(found.items()), tuple(unknown)


def _genre(tag: str, spelled: Mapping[str, str]) -> str | None:
    key = " ".join(tag.casefold().replace("-", " ").split())
    candidates = (
        tag.strip().casefold(),
        key,
        *(name.casefold() for name in SYNONYMS.get(key, ())),
    )
    return next((spelled[name] for name in candidates if name in spelled), None)


def too_long_for_paths(metadata: EbookMetadata) -> bool:
    """Whether authors and series would exceed the server's limits for paths.

    Names on the server are `<authors> - <series> <index> - <title>.<ext>`, 255 bytes
    each and 512 for the path; up to three authors are spelled out. Such a book is
    created without authors and series; they follow with the closing change.
    """
    names = sum(
        len(f"{author.last} {author.first}") + 2 for author in metadata.authors[:3]
    )
    return names + len(metadata.series or "") > PATH_BUDGET


def _cut(text: str, length: int, name: str, lost: dict[str, Json]) -> str:
    if len(text) > length:
        lost[name] = text
    return text[:length].strip() or "Untitled"


def _index(book: Book, lost: dict[str, Json]) -> int | None:
    """Returns the floor of the series index; what it loses is kept in `lost`."""
    index = book.series_index
    if index is None:
        return None
    if not math.isfinite(index) or abs(index) > INTEGER_LIMIT:
        lost["series index"] = str(index)
        return None
    if index != math.floor(index):
        lost["series index"] = index
    return math.floor(index)


def _rating(rating: float | None, lost: dict[str, Json]) -> int | None:
    """Converts Calibre's 0-10 to the server's 0-100; 0 means unrated in Calibre."""
    if rating is None or rating == 0:
        return None
    if not math.isfinite(rating) or not 0 < rating <= 10:
        lost["rating"] = str(rating)
        return None
    return round(rating * 10)
