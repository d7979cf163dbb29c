"""Ebooks, authors, series and sources, with the server's rules for what it accepts.

These are functions over the database.
"""

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from bookshelf.errors import NOT_FOUND, ApplicationError, HttpError
from bookshelf.storage.database import folded
from common.clock import utc_now

TITLE_LENGTH, NAME_LENGTH = 256, 128
#: The most authors or genres of one ebook.
MOST_ENTRIES = 1000
#: An id that does not exist, or is from another database. MyBookshelf2 answers HTTP
#: 500.
UNKNOWN_ID = "Unknown id"
INTEGER = range(-(2**31), 2**31)


def now() -> str:
    """Returns the time as the server writes it."""
    return utc_now().isoformat()


@dataclass(frozen=True, slots=True)
class Change:
    """Checked fields of a POST or PATCH.

    A field that was not given is not in `given`.
    """

    given: frozenset[str]
    title: str
    language_id: int
    authors: tuple[dict[str, Any], ...]
    series: dict[str, Any] | None
    series_index: int | None
    genres: tuple[int, ...]


def checked(body: object, *, partial: bool) -> Change:
    """Checks the fields of a body.

    Raises ApplicationError with the server's messages, and HttpError(400).
    """
    if isinstance(body, list):
        raise ApplicationError("Invalid data", "Invalid data type")
    if not isinstance(body, dict) or not body:
        raise HttpError(400, "Invalid or missing data")
    wrong: dict[str, Any] = {}
    _check_title(body, wrong, partial)
    if ("language" in body or not partial) and not body.get("language"):
        wrong["language"] = (
            ["Field may not be null."] if "language" in body else _NO_LANGUAGE
        )
    index = body.get("series_index")
    if index is not None and (isinstance(index, bool) or not _whole(index)):
        wrong["series_index"] = ["Not a valid integer."]
    authors = _people(body.get("authors") or [], wrong)
    if wrong:
        raise ApplicationError("Invalid data", wrong)
    language = body.get("language")
    return Change(
        given=frozenset(body),
        title=str(body.get("title") or ""),
        language_id=_id(language) if language else 0,
        authors=tuple(authors),
        series=_series(body.get("series")),
        series_index=None if index is None else int(float(index)),
        genres=tuple(_id(genre) for genre in _list(body.get("genres"))),
    )


_NO_LANGUAGE = {
    "code": ["Missing data for required field."],
    "name": ["Missing data for required field."],
}


def _check_title(body: dict[str, Any], wrong: dict[str, Any], partial: bool) -> None:
    title = body.get("title")
    if "title" not in body:
        if not partial:
            wrong["title"] = ["Missing data for required field."]
    elif title is None:
        wrong["title"] = ["Field may not be null."]
    elif not isinstance(title, str):
        wrong["title"] = ["Not a valid string."]
    elif len(title) > TITLE_LENGTH:
        wrong["title"] = [f"Longer than maximum length {TITLE_LENGTH}."]
    else:
        _text(title)


def _people(value: object, wrong: dict[str, Any]) -> list[dict[str, Any]]:
    people = []
    for position, author in enumerate(_list(value)):
        if not isinstance(author, dict):
            raise ApplicationError("Invalid data", "Invalid data type")
        names = {key: _text(author.get(key)) for key in ("last_name", "first_name")}
        long = {
            k: [f"Longer than maximum length {NAME_LENGTH}."]
            for k, v in names.items()
            if len(v or "") > NAME_LENGTH
        }
        if long:
            wrong.setdefault("authors", {})[str(position)] = long
        known = None if author.get("id") is None else _id(author)
        if known is None and names["last_name"] is None:
            raise ApplicationError("Database error", 'null value in column "last_name"')
        people.append({"id": known, **names})
    return people


def _text(value: object) -> str | None:
    """Returns a text or None.

    Raises ApplicationError for anything else, and for text that the database cannot
    hold.
    """
    if not isinstance(value, str | None):
        raise ApplicationError("Invalid data", "Not a valid string.")
    if "\0" in (value or ""):
        raise ApplicationError(
            "Database error", "A string literal cannot contain NUL (0x00) characters."
        )
    return value


def _list(value: object) -> list[Any]:
    if value is None:
        return []
    if not isinstance(value, list):
        raise ApplicationError("Invalid data", "Value must be list")
    if len(value) > MOST_ENTRIES:
        raise ApplicationError(
            "Invalid data", f"Longer than maximum length {MOST_ENTRIES}."
        )
    return value


def _id(entity: object) -> int:
    number = entity.get("id") if isinstance(entity, dict) else None
    if (
        isinstance(number, bool)
        or not isinstance(number, int | str)
        or not _whole(number)
        or not str(number).isdecimal()
    ):
        raise ApplicationError(
            "Invalid data", f"This entity {str(entity)[:200]} must have id"
        )
    return int(number)


def _whole(value: object) -> bool:
    try:
        return int(float(str(value))) in INTEGER
    except (ValueError, OverflowError):
        return False


def _series(value: object) -> dict[str, Any] | None:
    if not value:
        return None
    if not isinstance(value, dict):
        raise ApplicationError("Invalid data", "Invalid data type")
    title = _text(value.get("title"))
    known = None if value.get("id") is None else _id(value)
    if known is None and title is None:
        raise ApplicationError(
            "Invalid data", {"series": {"title": ["Missing data for required field."]}}
        )
    if len(title or "") > TITLE_LENGTH:
        raise ApplicationError(
            "Invalid data",
            {"series": {"title": [f"Longer than maximum length {TITLE_LENGTH}."]}},
        )
    return {"id": known, "title": title}


# -- writing ---------------------------------------------------------------------------


def create(
    db: sqlite3.Connection, change: Change, user_id: int, ebook_id: int | None = None
) -> int:
    """Creates an ebook; returns its id, which is `ebook_id` where that was reserved."""
    stamp = now()
    _must_exist(
        db,
        "language",
        [change.language_id],
        'null value in column "code" of relation "language"',
    )
    ebook_id = db.execute(
        "INSERT INTO ebook (id, title, folded, language_id, series_id, series_index, "
        "created, modified, created_by, modified_by) "
        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (
            ebook_id,
            change.title,
            folded(change.title),
            change.language_id,
            _series_id(db, change.series),
            change.series_index,
            stamp,
            stamp,
            user_id,
            user_id,
        ),
    ).lastrowid
    assert ebook_id is not None
    _link_authors(db, ebook_id, change, stamp)
    _link_genres(db, ebook_id, change)
    index_text(db, ebook_id)
    return ebook_id


def update(
    db: sqlite3.Connection, ebook_id: int, change: Change, version: object, user_id: int
) -> None:
    """Changes the given fields of an ebook.

    Raises ApplicationError when the version is not the current one.
    """
    row = db.execute(
        "SELECT version_id FROM ebook WHERE id = ?", (ebook_id,)
    ).fetchone()
    if row is None:
        raise HttpError(404, NOT_FOUND)
    if version is None:
        raise ApplicationError("Version_id missing")
    if version != row[0]:
        raise ApplicationError(
            "Stalled record", f"Your version {str(version)[:20]}, db version {row[0]}"
        )
    values: dict[str, Any] = {"modified": now(), "modified_by": user_id}
    if "title" in change.given:
        values |= {"title": change.title, "folded": folded(change.title)}
    if "language" in change.given:
        _must_exist(
            db,
            "language",
            [change.language_id],
            'null value in column "code" of relation "language"',
        )
        values["language_id"] = change.language_id
    if "series" in change.given:
        values["series_id"] = _series_id(db, change.series)
    if "series_index" in change.given:
        values["series_index"] = change.series_index
    columns = ", ".join(f"{name} = :{name}" for name in values)
    db.execute(
        # Column names of our own.
        f"UPDATE ebook SET {columns}, version_id = version_id + 1 WHERE id = :id",  # noqa: S608
        {**values, "id": ebook_id},
    )
    if "authors" in change.given:
        db.execute("DELETE FROM ebook_authors WHERE ebook_id = ?", (ebook_id,))
        _link_authors(db, ebook_id, change, values["modified"])
    if "genres" in change.given:
        db.execute("DELETE FROM ebook_genres WHERE ebook_id = ?", (ebook_id,))
        _link_genres(db, ebook_id, change)
    index_text(db, ebook_id)


def delete(db: sqlite3.Connection, ebook_id: int) -> list[tuple[str, str]]:
    """Removes an ebook; returns (hash, extension) of files no longer referenced.

    Raises HttpError(409) when it is rated.
    """
    if db.execute(
        "SELECT 1 FROM ebook_rating WHERE ebook_id = ?", (ebook_id,)
    ).fetchone():
        raise HttpError(409, "This ebook is rated")
    held = db.execute(
        "SELECT id FROM source WHERE ebook_id = ?", (ebook_id,)
    ).fetchall()
    gone = [file for row in held for file in delete_source(db, row[0])]
    db.execute("DELETE FROM ebook_text WHERE rowid = ?", (ebook_id,))
    db.execute("DELETE FROM ebook WHERE id = ?", (ebook_id,))
    return gone


def delete_source(db: sqlite3.Connection, source_id: int) -> list[tuple[str, str]]:
    """Removes a source.

    Returns its (hash, extension) if no other source has the same file.
    """
    row = db.execute(
        "SELECT hash, extension FROM source JOIN format ON format.id = format_id "
        "WHERE source.id = ?",
        (source_id,),
    ).fetchone()
    db.execute("DELETE FROM source WHERE id = ?", (source_id,))
    others = db.execute(
        "SELECT 1 FROM source WHERE hash = ?", (row["hash"],)
    ).fetchone()
    return [] if others else [(row["hash"], row["extension"])]


def rate(
    db: sqlite3.Connection,
    ebook_id: int,
    user_id: int,
    rating: float | None,
    description: str | None,
) -> None:
    """Sets or removes a user's rating and updates the ebook's average."""
    db.execute(
        "DELETE FROM ebook_rating WHERE ebook_id = ? AND user_id = ?",
        (ebook_id, user_id),
    )
    if rating is not None:
        db.execute(
            "INSERT INTO ebook_rating (ebook_id, user_id, rating, description) VALUES (?, ?, ?, ?)",
            (ebook_id, user_id, rating, description),
        )
    db.execute(
        "UPDATE ebook SET rating = (SELECT AVG(rating) FROM ebook_rating WHERE "
        "ebook_id = ebook.id),"
        " rating_count = (SELECT COUNT(*) FROM ebook_rating WHERE ebook_id = "
        "ebook.id) WHERE id = ?",
        (ebook_id,),
    )


def ebook_of(db: sqlite3.Connection, source_id: int) -> int | None:
    """Returns the ebook a file belongs to."""
    row = db.execute(
        "SELECT ebook_id FROM source WHERE id = ?", (source_id,)
    ).fetchone()
    return None if row is None else int(row[0])


def existing_source(db: sqlite3.Connection, sha1: str | None, size: int) -> str | None:
    """Returns `Existing source 42 in ebook Title(81)` if it is there, or None."""
    row = db.execute(
        "SELECT source.id, title, ebook_id FROM source JOIN ebook ON ebook.id = "
        "ebook_id WHERE hash = ? AND size = ?",
        (sha1, size),
    ).fetchone()
    return (
        None if row is None else f"Existing source {row[0]} in ebook {row[1]}({row[2]})"
    )


def index_text(db: sqlite3.Connection, ebook_id: int) -> None:
    """Indexes the words of an ebook's authors, title and series for the search."""
    row = db.execute(
        "SELECT ebook.title, series.title AS series FROM ebook LEFT JOIN series ON "
        "series.id = series_id"
        " WHERE ebook.id = ?",
        (ebook_id,),
    ).fetchone()
    people = db.execute(
        "SELECT last_name, first_name FROM ebook_authors JOIN author ON author.id = "
        "author_id WHERE ebook_id = ?",
        (ebook_id,),
    ).fetchall()
    names = " ".join(
        f"{person['first_name'] or ''} {person['last_name']}" for person in people
    )
    db.execute("DELETE FROM ebook_text WHERE rowid = ?", (ebook_id,))
    db.execute(
        "INSERT INTO ebook_text (rowid, text) VALUES (?, ?)",
        (ebook_id, f"{names} {row['title']} {row['series'] or ''}"),
    )


def _must_exist(
    db: sqlite3.Connection, table: str, ids: Iterable[int], otherwise: str
) -> None:
    for number in ids:
        if (
            db.execute(f"SELECT 1 FROM {table} WHERE id = ?", (number,)).fetchone()  # noqa: S608
            is None
        ):
            raise ApplicationError("Database error", otherwise)


def _link_authors(
    db: sqlite3.Connection, ebook_id: int, change: Change, stamp: str
) -> None:
    for author in change.authors:
        db.execute(
            "INSERT OR IGNORE INTO ebook_authors VALUES (?, ?)",
            (ebook_id, _author_id(db, author, stamp)),
        )


def _link_genres(db: sqlite3.Connection, ebook_id: int, change: Change) -> None:
    _must_exist(
        db, "genre", change.genres, 'null value in column "name" of relation "genre"'
    )
    if len(set(change.genres)) != len(change.genres):
        raise ApplicationError(
            "Database error",
            'duplicate key value violates unique constraint "ebook_genres_pkey"',
        )
    db.executemany(
        "INSERT INTO ebook_genres VALUES (?, ?)",
        ((ebook_id, genre) for genre in change.genres),
    )


def _author_id(db: sqlite3.Connection, author: dict[str, Any], stamp: str) -> int:
    if author.get("id") is not None:
        row = db.execute(
            "SELECT id FROM author WHERE id = ?", (author["id"],)
        ).fetchone()
        if row is None:
            raise ApplicationError(UNKNOWN_ID, f"There is no author {author['id']}")
        return int(row[0])
    last, first = str(author["last_name"]), author.get("first_name") or None
    row = db.execute(
        "SELECT id FROM author WHERE last_name = ? AND first_name IS ?", (last, first)
    ).fetchone()
    if row is not None:
        return int(row[0])
    full = folded(f"{last}, {first}" if first else last)
    made = db.execute(
        "INSERT INTO author (last_name, first_name, folded, created) VALUES (?, ?, ?, ?)",
        (last, first, full, stamp),
    )
    return int(made.lastrowid or 0)


def _series_id(db: sqlite3.Connection, series: dict[str, Any] | None) -> int | None:
    if series is None:
        return None
    column, value = (
        ("id", series["id"])
        if series.get("id") is not None
        else ("title", series["title"])
    )
    # Column names of our own.
    row = db.execute(f"SELECT id FROM series WHERE {column} = ?", (value,)).fetchone()  # noqa: S608
    if row is not None:
        return int(row[0])
    if column == "id":
        raise ApplicationError(UNKNOWN_ID, f"There is no series {value}")
    made = db.execute(
        "INSERT INTO series (title, folded) VALUES (?, ?)", (value, folded(str(value)))
    )
    return int(made.lastrowid or 0)
