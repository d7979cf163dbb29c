"""`not_carried.jsonl`: what Calibre knows of a book and the server has no place for, one line per book.

A line: {"book_id": 17, "ebook_id": 5, "title": "…", "not_carried": {"comments": "…", "identifiers": {…}}}.
After a crash a book may have two lines; the later one counts. Several workers append; each line is one write.
"""

import json
import os
from pathlib import Path

from migration.errors import StateUnwritable
from migration.model import Book, Card, EbookId
from migration.resources import raise_if_exhausted

NAME = "not_carried.jsonl"


def append(state_dir: Path, book: Book, card: Card, ebook_id: EbookId) -> None:
    """Adds the book's line when there is something to keep. Raises StateUnwritable."""
    if not card.not_carried:
        return
    record = {"book_id": book.id, "ebook_id": ebook_id, "title": book.title, "not_carried": card.not_carried}
    line = json.dumps(record, ensure_ascii=False, allow_nan=False).encode("utf-8") + b"\n"
    path = state_dir / NAME
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o644)
        try:
            written = os.write(descriptor, line)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise_if_exhausted(error)
        raise StateUnwritable(f"cannot write {path}: {error.strerror}") from error
    if written != len(line):
        raise StateUnwritable(f"cannot write {path}: the disk is full")
