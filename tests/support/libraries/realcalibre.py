"""A library made and edited by Calibre's own code: its Python through calibre-debug for
many books at once, calibredb for single edits."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.support.environment import clean_environment
from tests.support.libraries.librarykit import epub

_MAKE = """
import json, sys
from calibre.ebooks.metadata.book.base import Metadata
from calibre.library import db

root, told = sys.argv[-2:]
with open(told, encoding="utf-8") as file:
    told = json.load(file)
api = db(root).new_api
for label, (name, datatype, multiple) in told["columns"].items():
    api.create_custom_column(label, name, datatype, multiple, display=(
        {"enum_values": ["Dark", "Calm", "Wild"]} if datatype == "enumeration" else {}))
api.close()
api = db(root).new_api
for book in told["books"]:
    made = Metadata(book["title"], [book["author"]])
    made.tags = book["tags"]
    made.comments = book["comments"]
    [number], _duplicates = api.add_books(
        [(made, {"EPUB": book["path"]})], add_duplicates=True)
    for label, value in book["columns"].items():
        api.set_field("#" + label, {number: value})
api.close()
"""


@dataclass(frozen=True, slots=True)
class Wished:
    """A book to be made."""

    title: str
    tags: Sequence[str] = ()
    comments: str | None = None
    columns: Mapping[str, object] = field(default_factory=dict)


def make(
    root: Path,
    folder: Path,
    columns: Mapping[str, tuple[str, str, bool]],
    books: Sequence[Wished],
) -> None:
    """Makes a library; custom columns are (name, datatype, several values) by label.

    Ids count from 1, in the order of the books.
    """
    folder.mkdir(parents=True, exist_ok=True)
    root.mkdir(parents=True, exist_ok=True)
    told: list[dict[str, Any]] = []
    for number, book in enumerate(books, 1):
        path = folder / f"{number}.epub"
        path.write_bytes(epub(number, title=book.title))
        told.append(
            {
                "title": book.title,
                "author": f"Writer {number % 7}",
                "tags": list(book.tags),
                "comments": book.comments,
                "columns": dict(book.columns),
                "path": str(path),
            }
        )
    (folder / "make.py").write_text(_MAKE, "utf-8")
    (folder / "told.json").write_text(json.dumps({"columns": columns, "books": told}))
    _run(
        "calibre-debug",
        "-e",
        str(folder / "make.py"),
        "--",
        str(root),
        str(folder / "told.json"),
    )


def calibredb(root: Path, *arguments: str) -> None:
    """One command of calibredb."""
    _run("calibredb", *arguments, "--with-library", str(root))


def _run(*command: str) -> None:
    done = subprocess.run(
        command,
        check=False,
        env=clean_environment(LC_ALL="C.UTF-8"),
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
