"""Secrets in many forms, and texts that must stay readable.

`secrets.tsv`: name, the text as it stands in a log (`⏎` is a line's end), what must not
be seen of it. `readable.txt`: a kind in brackets, then texts of that kind.
"""

import hashlib
import random
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from pathlib import Path

from demo.books import BOOKS
from migration.metadata.ebook_metadata import working_title

_HERE = Path(__file__).parent

#: What the monitor of these logs was started with.
ENVIRONMENT = {
    "MBS2_USERNAME": "admin",
    "MBS2_PASSWORD": 'tea "for" 2 & me',
    "MBS2_DB_URI": "postgresql://reader:Pg5ecretPw@db:5432/books",
    "OTHER_DB_URI": "postgresql://reader:M4il%2Fbox%40home@db/books",
    "ALERT_WEBHOOK_URL": "https://hooks.example/T1/a1b2c3d4e5f6g7",
    "OPENAI_API_KEY": "local-llm-key",
    "HOME": "/home/me",
}


@dataclass(frozen=True, slots=True)
class Leak:
    """A text with a secret in it, and the part that must not be seen."""

    name: str
    text: str
    secret: str


def leaks() -> list[Leak]:
    """The forms of secrets."""
    lines = (_HERE / "secrets.tsv").read_text("utf-8").splitlines()
    return [Leak(*line.replace("⏎", "\n").split("\t")) for line in lines]


def readable() -> dict[str, list[str]]:
    """Texts without secrets, by kind: written ones, and made ones with a fixed seed."""
    kinds: dict[str, list[str]] = {}
    for line in (_HERE / "readable.txt").read_text("utf-8").splitlines():
        if line.startswith("[") and line.endswith("]"):
            kind = kinds.setdefault(line[1:-1], [])
        elif line:
            kind.append(line)
    titles = kinds["titles"]
    titles += [book.title for book in BOOKS]
    titles += _numbered([*titles])
    kinds["file names"] = [*kinds["file names"], *_file_names(titles)]
    kinds["log lines"] = [*kinds["log lines"], *_log_lines(titles)]
    kinds["SHA-1s"] = [hashlib.sha1(text.encode()).hexdigest() for text in titles]
    chosen = random.Random(16)
    kinds["UUIDs"] = [str(uuid.UUID(int=chosen.getrandbits(128))) for _ in range(200)]
    kinds["working titles"] = [
        working_title(title, library, number)
        for number, (title, library) in enumerate(zip(titles, cycle(kinds["UUIDs"])))
    ]
    kinds["ISBNs"] = [_isbn(chosen) for _ in range(200)]
    return kinds


def _numbered(titles: list[str]) -> Iterator[str]:
    for number, title in enumerate(titles, 1):
        yield (
            f"{title} {number}",
            f"{title}, Vol. {number}",
            f"{number} Things about {title}",
            f"{title}: {1900 + number % 130}-{1905 + number % 130}",
            f"{title} ({number % 12 + 1}th Edition)",
        )[number % 5]


def _file_names(titles: list[str]) -> Iterator[str]:
    for number, title in enumerate(titles, 1):
        name = title.replace("/", "_")
        yield f"/srv/Calibre Library/A. N. Author/{name} ({number})/{name} - A. N. Author.epub"
        yield f"{name.replace(' ', '_')}_{number}.pdf"


def _log_lines(titles: list[str]) -> Iterator[str]:
    for number, title in enumerate(titles, 1):
        yield f"INFO Uploaded {number}/EPUB '{title}' ({number * 977} bytes, 0.{number % 10} s)"
        yield f"WARNING Failed {number}/PDF: refused by the server: {title}"


def _isbn(chosen: random.Random) -> str:
    digits = [9, 7, 8, *(chosen.randrange(10) for _ in range(9))]
    check = -sum(d * (3 if n % 2 else 1) for n, d in enumerate(digits)) % 10
    return "".join(map(str, [*digits, check]))
