"""What Calibre knows of an ebook and MyBookshelf2 has no place for.

It is kept beside the catalogue; the answers of MyBookshelf2's protocol do not show it.
"""

import json
import math
import sqlite3
from dataclasses import dataclass, field
from typing import Any

from bookshelf.errors import NOT_FOUND, ApplicationError, HttpError
from bookshelf.storage.database import folded
from common.plain_text import plain_text
from common.sanitize import sanitize_text

COMMENTS_LENGTH, TEXT_LENGTH = 1_000_000, 512
MOST_IDENTIFIERS = 100


@dataclass(frozen=True, slots=True)
class CalibreFields:
    """The fields of one ebook.

    `comments` are plain text, a blank line between paragraphs; `series_index` is the
    exact one, None when it is not known; `sort` is the title to sort by, or "".
    """

    comments: str = ""
    identifiers: dict[str, str] = field(default_factory=dict)
    series_index: float | None = None
    sort: str = ""

    def as_json(self) -> dict[str, Any]:
        """Returns the fields as the route has them."""
        return {
            "comments": self.comments,
            "identifiers": self.identifiers,
            "series_index": self.series_index,
            "sort": self.sort,
        }


def checked(body: dict[str, Any]) -> CalibreFields:
    """Returns the fields of a body; HTML of the comments becomes plain text.

    Raises ApplicationError.
    """
    wrong: dict[str, list[str]] = {}
    comments = _text(body, "comments", COMMENTS_LENGTH, wrong)
    sort = _text(body, "sort", TEXT_LENGTH, wrong)
    index = body.get("series_index")
    if index is not None and (
        isinstance(index, bool)
        or not isinstance(index, int | float)
        or not math.isfinite(index)
    ):
        wrong["series_index"] = ["Not a valid number."]
    identifiers = body.get("identifiers") or {}
    if (
        not isinstance(identifiers, dict)
        or len(identifiers) > MOST_IDENTIFIERS
        or not all(
            isinstance(value, str) and max(len(name), len(value)) <= TEXT_LENGTH
            for name, value in identifiers.items()
        )
    ):
        wrong["identifiers"] = [f"Not at most {MOST_IDENTIFIERS} texts by name."]
    if wrong:
        raise ApplicationError("Invalid data", wrong)
    return CalibreFields(
        plain_text(comments),
        {sanitize_text(n): sanitize_text(v) for n, v in identifiers.items()},
        None if index is None else float(index),
        sanitize_text(sort),
    )


def _text(body: dict[str, Any], key: str, length: int, wrong: dict[str, Any]) -> str:
    value = body.get(key) or ""
    if not isinstance(value, str):
        wrong[key] = ["Not a valid string."]
        return ""
    if len(value) > length:
        wrong[key] = [f"Longer than maximum length {length}."]
    return value


def store(db: sqlite3.Connection, ebook_id: int, fields: CalibreFields) -> None:
    """Replaces the fields of an ebook. Raises HttpError(404)."""
    row = db.execute("SELECT folded FROM ebook WHERE id = ?", (ebook_id,)).fetchone()
    if row is None:
        raise HttpError(404, NOT_FOUND)
    db.execute(
        "INSERT OR REPLACE INTO calibre_fields VALUES (?, ?, ?, ?, ?)",
        (
            ebook_id,
            fields.comments,
            json.dumps(fields.identifiers, ensure_ascii=False),
            fields.series_index,
            fields.sort,
        ),
    )
    db.execute(
        "UPDATE ebook_order SET sorted = ? WHERE ebook_id = ?",
        (folded(fields.sort) or row["folded"], ebook_id),
    )


def stored(db: sqlite3.Connection, ebook_id: int) -> CalibreFields:
    """Returns the fields of an ebook, empty ones if nobody set any.

    Raises HttpError(404) without the ebook.
    """
    row = db.execute(
        "SELECT calibre_fields.* FROM ebook LEFT JOIN calibre_fields ON ebook_id = "
        "ebook.id WHERE ebook.id = ?",
        (ebook_id,),
    ).fetchone()
    if row is None:
        raise HttpError(404, NOT_FOUND)
    if row["ebook_id"] is None:
        return CalibreFields()
    return CalibreFields(
        row["comments"],
        json.loads(row["identifiers"]),
        row["series_index"],
        row["sort"],
    )


def shown_index(whole: int | None, exact: float | None) -> str:
    """Returns a series index to show: `0.5`, or the ebook's own where that was changed."""
    if exact is not None and whole is not None and math.floor(exact) == whole:
        return f"{exact:g}"
    return "" if whole is None else str(whole)
