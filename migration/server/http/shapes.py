"""The shapes of the server's answers: the keys a route promises, and their types. Pure.

A shape is a function of an answer's JSON and the numbers in the request's path; it
returns what is missing, as words for a message, or "". The client may read what it
accepts without checking.
"""

import base64
import json
import math
import re
from collections.abc import Callable

from common.json_value import Json

#: (the JSON, the numbers in the path) -> what is missing, or "".
Shape = Callable[[Json, tuple[int, ...]], str]
Is = Callable[[Json], bool]

_HIGHEST = 2**63
_SHA1 = re.compile(r"[0-9a-f]{40}")


def is_id(value: Json) -> bool:
    """Whether the value is a positive 64-bit whole number."""
    return (
        isinstance(value, int) and not isinstance(value, bool) and 0 < value < _HIGHEST
    )


def is_size(value: Json) -> bool:
    """Whether the value is a 64-bit whole number, 0 or more."""
    return (
        isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _HIGHEST
    )


def is_text(value: Json) -> bool:
    """Whether the value is non-empty text."""
    return isinstance(value, str) and value != ""


def _is_any_text(value: Json) -> bool:
    return isinstance(value, str)


def _is_flag(value: Json) -> bool:
    return isinstance(value, bool)


def _is_number(value: Json) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and math.isfinite(value)
    )


def _is_rating(value: Json) -> bool:
    return (
        isinstance(value, int | float)
        and not isinstance(value, bool)
        and 0 <= value <= 100
    )


def _is_hash(value: Json) -> bool:
    return isinstance(value, str) and _SHA1.fullmatch(value) is not None


def _absent_or(kind: Is) -> Is:
    """Allows None, because the server leaves out what is null."""
    return lambda value: value is None or kind(value)


def _list_of(**keys: Is) -> Is:
    """Checks for a list of objects with these keys."""

    def fits(value: Json) -> bool:
        return isinstance(value, list) and all(
            isinstance(item, dict)
            and all(kind(item.get(key)) for key, kind in keys.items())
            for item in value
        )

    return fits


def _is(wanted: Json) -> Is:
    return lambda value: (
        value is wanted or (isinstance(wanted, str) and value == wanted)
    )


def _is_none_left(value: Json) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value == 0


def _object(*, itself: bool = False, alone: bool = False, **keys: Is) -> Shape:
    """Returns the shape of an object with these keys; if `alone`, with no others.

    `itself` means that its `id` is the first number of the path, so it is not the
    answer to another request.
    """

    def lacks(body: Json, ids: tuple[int, ...]) -> str:
        if not isinstance(body, dict):
            return f"a {type(body).__name__} instead of an object"
        wrong = [key for key, kind in keys.items() if not kind(body.get(key))]
        if wrong:
            return f"{', '.join(repr(key) for key in wrong)} missing or of another type"
        if alone and (more := body.keys() - keys.keys()):
            return f"{len(more)} keys that do not belong there"
        if itself and ids and body.get("id") != ids[0]:
            return "it is about something else than was asked for"
        return ""

    return lacks


def vocabulary(name: str) -> Shape:
    """Returns the shape of a list of ids with names.

    An empty list does not fit: it would leave nothing a book could be given.
    """
    fits = _list_of(id=is_id, **{name: is_text})
    return lambda body, _ids: (
        "" if body and fits(body) else f"no list of 'id' and {name!r}"
    )


def claims(token: str) -> dict[str, Json]:
    """Returns the claims of a JWT, unverified; {} for anything else.

    They say when to renew the token and which user we are.
    """
    try:
        payload = token.split(".")[1]
        found = json.loads(
            base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
        )
    except (IndexError, ValueError, RecursionError):
        return {}
    ours = (
        isinstance(found, dict)
        and is_id(found.get("id"))
        and _absent_or(_is_number)(found.get("exp"))
    )
    return found if ours else {}


def _is_token(value: Json) -> bool:
    return (
        isinstance(value, str)
        and value.isascii()
        and value.count(".") == 2
        and bool(claims(value))
    )


TOKEN = _object(access_token=_is_token)
VERDICT = _object(result=_is("ok"))
UPLOADED = _object(result=_is("ok"), file=is_text)
UPLOAD = _object(
    itself=True,
    id=is_id,
    hash=_is_hash,
    size=is_size,
    meta=_absent_or(lambda value: isinstance(value, dict)),
)
_ITEMS = _list_of(id=is_id, title=_is_any_text)
INDEX = _object(items=_ITEMS, total=is_size)
LIST = _object(page=is_id, page_size=is_id, total=is_size, items=_ITEMS)
CREATED = _object(itself=True, id=is_id, success=_is(True))
# Many a foreign answer would have this much too.
SOURCE = _object(alone=True, id=is_id)
PICTURE = _object(sha1=_is_hash)
_RATED = _object(itself=True, id=is_id, rating=_is_rating)
_UNRATED = _object(itself=True, id=is_id, rating=_is(None), rating_count=_is_none_left)


def _rated(body: Json, ids: tuple[int, ...]) -> str:
    """Fits a rating, and null where no rating is left."""
    return _RATED(body, ids) if _UNRATED(body, ids) else ""


RATED: Shape = _rated
_NAMED = _list_of(id=is_id, name=_is_any_text, owner=_absent_or(_is_any_text))
SHELF_INDEX = _object(items=_NAMED, total=is_size)
SHELVES = _object(
    page=is_id,
    page_size=is_id,
    total=is_size,
    items=_list_of(
        id=is_id,
        name=_is_any_text,
        items_count=_absent_or(is_size),
        description=_absent_or(_is_any_text),
    ),
)
SHELF = _object(
    itself=True,
    id=is_id,
    version_id=is_id,
    name=_is_any_text,
    public=_absent_or(_is_flag),
    items_count=_absent_or(is_size),
    description=_absent_or(_is_any_text),
)
SHELVED = _object(itself=True, alone=True, id=is_id)
SHELF_ITEMS = _object(
    page=is_id,
    page_size=is_id,
    total=is_size,
    items=_list_of(
        id=is_id,
        version_id=is_id,
        note=_absent_or(_is_any_text),
        ebook=_absent_or(
            lambda value: isinstance(value, dict) and is_id(value.get("id"))
        ),
    ),
)
AUTHOR = _object(
    itself=True,
    id=is_id,
    last_name=is_text,
    ebooks=_absent_or(lambda value: isinstance(value, list)),
)
EBOOK = _object(
    itself=True,
    id=is_id,
    version_id=is_id,
    title=_is_any_text,
    cover=_absent_or(_is_flag),
    authors=_absent_or(lambda value: isinstance(value, list)),
    sources=_list_of(id=is_id, format=is_text, size=is_size),
)


def _is_ebook(value: Json) -> bool:
    return EBOOK(value, ()) == ""


def _is_list_of_ids(value: Json) -> bool:
    return isinstance(value, list) and all(map(is_id, value))


_IMPORTED_BOOK = _object(
    book=is_id,
    id=is_id,
    sources=_is_list_of_ids,
    made=_is_flag,
    cover_sha1=_is_any_text,
    ebook=_is_ebook,
)
_REFUSED_BOOK = _object(alone=True, book=is_id, refused=is_text)


def _imported(body: Json, _ids: tuple[int, ...]) -> str:
    """Fits books by number, each with its ebook or with why it was refused."""
    books = body.get("books") if isinstance(body, dict) else None
    if not isinstance(books, list) or not books:
        return "'books' missing or of another type"
    fits = all(
        not _IMPORTED_BOOK(one, ()) or not _REFUSED_BOOK(one, ()) for one in books
    )
    return "" if fits else "a book that is neither made nor refused"


def _imported_book(body: Json, ids: tuple[int, ...]) -> str:
    """Fits what was made of the book that was asked for."""
    lack = _IMPORTED_BOOK(body, ()) or _FILES(body, ())
    if not lack and isinstance(body, dict) and ids and body["book"] != ids[-1]:
        return "it is about something else than was asked for"
    return lack


_FILES = _object(files=_list_of(format=is_text, sha1=_is_hash, size=is_size))
IMPORTED: Shape = _imported
IMPORTED_BOOK: Shape = _imported_book
