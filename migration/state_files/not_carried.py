"""`not_carried.jsonl`: what the server has no place for, one line per book.

A line: {"book_id": 17, "ebook_id": 5, "title": "…", "not_carried": {"comments": "…"}}.
`ebook_id` is the book's ebook. For a book whose files were all on the server already it
is the ebook that holds them, or null when that was not found; for a book without files
it is null. For these two kinds the line has all metadata, since none of it was carried.
A book may have two lines, after a crash or when it has changed; the later one counts.
Several workers append; each line is one write.
"""

import hashlib
import json
import os
from collections.abc import Collection, Mapping
from pathlib import Path

from common.files.system_errors import reason_of
from common.json_value import Json
from common.resources import raise_if_exhausted
from common.sanitize import sanitize_json, sanitize_text
from migration.errors import StateUnwritable
from migration.model import Book, EbookId, EbookMetadata

NAME = "not_carried.jsonl"


def append(
    state_dir: Path,
    book: Book,
    fields: Mapping[str, Json],
    ebook_id: EbookId | None,
    written: Collection[str] = (),
) -> str:
    """Adds the book's line if there is something to keep; returns its hash, or "".

    A line whose hash is among those `written` is there already. Raises StateUnwritable.
    """
    if not fields:
        return ""
    record = {
        "book_id": book.id,
        "ebook_id": ebook_id,
        "title": book.title,
        "not_carried": dict(fields),
    }
    line = (
        json.dumps(record, ensure_ascii=False, allow_nan=False).encode("utf-8") + b"\n"
    )
    identity = hashlib.sha1(line, usedforsecurity=False).hexdigest()
    if identity not in written:
        _write(state_dir / NAME, line)
    return identity


def everything(book: Book, metadata: EbookMetadata) -> dict[str, Json]:
    """Returns what Calibre knows of a book not carried at all, by field."""
    fields: dict[str, Json] = {
        **{
            name: value
            for name, value in metadata.not_carried.items()
            if name not in ("language", "further languages")
        },
        "authors": [author.name for author in book.authors],
        "series": book.series,
        "series index": sanitize_json(book.series_index) if book.series else None,
        "languages": list(book.languages),
        "tags": list(book.tags),
        "rating": sanitize_json(book.rating),
        "cover": sanitize_text(book.cover) if book.cover else None,
    }
    return {
        name: value for name, value in fields.items() if value not in (None, [], 0.0)
    }


def _write(path: Path, line: bytes) -> None:
    try:
        descriptor = os.open(
            path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644
        )
        try:
            written = os.write(descriptor, line)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise_if_exhausted(error)
        raise StateUnwritable(f"cannot write {path}: {reason_of(error)}") from error
    if written != len(line):
        raise StateUnwritable(f"cannot write {path}: the disk is full")
