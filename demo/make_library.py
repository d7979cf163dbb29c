"""Makes demo/library/ and demo/expected.json anew, with Debian's `calibredb`; only
needed when the books change.

    python -m demo.make_library

Needs Calibre's command-line tools. Texts are in demo/books.py; covers are drawn here.
"""

import hashlib
import io
import json
import os
import random
import shutil
import subprocess
import tempfile
import zipfile
from collections import Counter
from pathlib import Path
from xml.sax.saxutils import escape

from PIL import Image, ImageDraw, ImageFont

from demo.books import BOOKS, DemoBook

HERE = Path(__file__).resolve().parent
LIBRARY = HERE / "library"
FIXED_TIME = (2024, 1, 1, 0, 0, 0)
ENVIRONMENT = {
    **os.environ,
    "QT_QPA_PLATFORM": "offscreen",
    "LC_ALL": "C.UTF-8",
    "QTWEBENGINE_DISABLE_SANDBOX": "1",
}
#: Formats the embedded server and MyBookshelf2 refuse.
REFUSED = {"CBZ"}
#: Formats written here; the others come from `ebook-convert`.
BY_HAND = {"epub", "txt", "fb2", "cbz"}


def main() -> None:
    """Makes the library from nothing."""
    shutil.rmtree(LIBRARY, ignore_errors=True)
    LIBRARY.mkdir()
    calibre(
        "calibredb",
        "add_custom_column",
        "shelf",
        "Shelf",
        "text",
        "--with-library",
        str(LIBRARY),
    )
    with tempfile.TemporaryDirectory() as folder:
        written: dict[str, Path] = {}
        for number, book in enumerate(BOOKS, 1):
            add(number, book, Path(folder), written)
    for name in (
        "metadata_db_prefs_backup.json",
        ".caltrash",
        ".calnotes",
        "full-text-search.db",
    ):
        path = LIBRARY / name
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)
    expected = describe()
    (HERE / "expected.json").write_text(
        json.dumps(expected, ensure_ascii=False, indent=1) + "\n", encoding="utf-8"
    )
    print(expected["first_run"])


def add(number: int, book: DemoBook, folder: Path, written: dict[str, Path]) -> None:
    """Adds one book with all its formats, then sets what calibredb does not take from
    the file."""
    files = (
        [written[book.same_as]]
        if book.same_as
        else [write(number, book, kind, folder) for kind in book.formats]
    )
    written[book.title] = files[0]
    arguments = ["--duplicates", "--title", book.title, "--languages", book.language]
    if book.cover and not book.same_as:
        picture = folder / f"{number}.jpg"
        picture.write_bytes(cover(book, number))
        arguments += ["--cover", str(picture)]
    if book.authors:
        arguments += ["--authors", " & ".join(book.authors)]
    calibre(
        "calibredb", "add", *arguments, str(files[0]), "--with-library", str(LIBRARY)
    )
    for file in files[1:]:
        calibre(
            "calibredb",
            "add_format",
            str(number),
            str(file),
            "--with-library",
            str(LIBRARY),
        )
    fields = fields_of(book)
    given = [
        part
        for key, value in fields.items()
        if value
        for part in ("--field", f"{key}:{value}")
    ]
    calibre(
        "calibredb", "set_metadata", str(number), *given, "--with-library", str(LIBRARY)
    )


def fields_of(book: DemoBook) -> dict[str, str]:
    """What `calibredb set_metadata` is told of a book."""
    fields = {
        "tags": ",".join(book.tags),
        "comments": book.comments,
        "identifiers": book.identifiers,
        "publisher": book.publisher,
        "series": book.series,
        "#shelf": book.shelf,
        "title": book.title,
        "rating": str(book.rating / 2) if book.rating else "",
        "languages": book.language,
    }
    if book.series:
        fields["series_index"] = str(book.index)
    return fields


def calibre(*command: str) -> str:
    """Runs one of Calibre's programs; returns what it printed."""
    done = subprocess.run(
        command,
        env=ENVIRONMENT,
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.stdout


def write(number: int, book: DemoBook, kind: str, folder: Path) -> Path:
    """Writes one format of a book into the folder."""
    path = folder / f"{number}.{kind}"
    if kind not in BY_HAND:
        source = folder / f"{number}.epub"
        calibre("ebook-convert", str(source), str(path))
        return path
    data = {"epub": epub, "txt": text, "fb2": fb2, "cbz": cbz}[kind](book, number)
    path.write_bytes(data)
    return path


def epub(book: DemoBook, number: int) -> bytes:
    """A small EPUB 2 with the text and, when the book has one, its cover."""
    picture = cover(book, number) if book.cover else b""
    people = "".join(
        f'<dc:creator opf:role="aut">{escape(name)}</dc:creator>'
        for name in book.authors
    )
    cover_meta = '<meta name="cover" content="cover"/>' if picture else ""
    cover_item = (
        '<item id="cover" href="cover.jpg" media-type="image/jpeg"/>' if picture else ""
    )
    opf = (
        '<?xml version="1.0" encoding="utf-8"?><package '
        'xmlns="http://www.idpf.org/2007/opf" version="2.0" '
        'unique-identifier="uid"><metadata xmlns:dc="http://purl.org/dc/elements/1.1/" '
        'xmlns:opf="http://www.idpf.org/2007/opf"><dc:identifier '
        f'id="uid">demo-{number}</dc:identifier>'
        f"<dc:title>{escape(book.title)}</dc:title>{people}<dc:language>{book.language}</dc:language>{cover_meta}"
        f'</metadata><manifest>{cover_item}<item id="text" href="text.xhtml" '
        'media-type="application/xhtml+xml"/>'
        '</manifest><spine><itemref idref="text"/></spine></package>'
    )
    container = (
        '<?xml version="1.0"?><container version="1.0" '
        'xmlns="urn:oasis:names:tc:opendocument:xmlns:container">'
        '<rootfiles><rootfile full-path="content.opf" '
        'media-type="application/oebps-package+xml"/></rootfiles>'
        "</container>"
    )
    parts = [
        ("META-INF/container.xml", container),
        ("content.opf", opf),
        ("text.xhtml", html(book, number).decode()),
    ]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(
            zipfile.ZipInfo("mimetype", FIXED_TIME), "application/epub+zip"
        )
        if picture:
            archive.writestr(zipfile.ZipInfo("cover.jpg", FIXED_TIME), picture)
        for name, content in parts:
            info = zipfile.ZipInfo(name, FIXED_TIME)
            info.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(info, content.encode())
    return buffer.getvalue()


def text(book: DemoBook, _number: int) -> bytes:
    """Plain UTF-8."""
    return f"{book.title}\n{', '.join(book.authors)}\n\n{book.text}\n".encode()


def html(book: DemoBook, _number: int) -> bytes:
    """XHTML."""
    paragraphs = "".join(f"<p>{escape(part)}</p>" for part in book.text.split("\n\n"))
    return (
        '<?xml version="1.0" encoding="utf-8"?><html xmlns="http://www.w3.org/1999/xhtml">'
        f"<head><title>{escape(book.title)}</title></head><body><h1>{escape(book.title)}</h1>{paragraphs}</body></html>"
    ).encode()


def fb2(book: DemoBook, _number: int) -> bytes:
    """FictionBook 2."""
    people = "".join(
        f"<author><first-name>{escape(name.rpartition(' ')[0])}</first-name>"
        f"<last-name>{escape(name.rpartition(' ')[2])}</last-name></author>"
        for name in book.authors
    )
    paragraphs = "".join(f"<p>{escape(part)}</p>" for part in book.text.split("\n\n"))
    return (
        '<?xml version="1.0" encoding="utf-8"?><FictionBook '
        'xmlns="http://www.gribuser.ru/xml/fictionbook/2.0">'
        f"<description><title-info>{people}<book-title>{escape(book.title)}</book-title><lang>{book.language}</lang>"
        f"</title-info></description><body><section>{paragraphs}</section></body></FictionBook>"
    ).encode()


def cbz(book: DemoBook, number: int) -> bytes:
    """A few pictures in an archive."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for page in range(4):
            archive.writestr(
                zipfile.ZipInfo(f"{page}.jpg", FIXED_TIME),
                cover(book, number * 10 + page),
            )
    return buffer.getvalue()


def cover(book: DemoBook, seed: int) -> bytes:
    """A drawn cover: a landscape of the seed's colours, and the title where the font
    has its letters."""
    rnd = random.Random(seed)
    sky, hill, sun = (
        tuple(rnd.randrange(low, low + 90) for _ in range(3)) for low in (130, 40, 160)
    )
    picture = Image.new("RGB", (240, 340), sky)
    draw = ImageDraw.Draw(picture)
    x, y = rnd.randrange(40, 200), rnd.randrange(90, 180)
    draw.ellipse((x - 30, y - 30, x + 30, y + 30), fill=sun)
    points = [
        (0, 340),
        *((step * 40, 210 + rnd.randrange(-40, 40)) for step in range(7)),
        (240, 340),
    ]
    draw.polygon(points, fill=hill)
    if book.title.isascii():
        words, lines = book.title.split()[:9], [""]
        for word in words:
            lines = (
                [*lines[:-1], f"{lines[-1]} {word}".strip()]
                if len(lines[-1] + word) < 16
                else [*lines, word]
            )
        draw.multiline_text(
            (16, 16),
            "\n".join(lines),
            fill=(20, 20, 20),
            font=ImageFont.load_default(24),
            spacing=6,
        )
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=70, optimize=True)
    return buffer.getvalue()


def describe() -> dict[str, object]:
    """What the library holds, as calibredb says, with the hashes of the files, and what
    a migration must report."""
    fields = "title,authors,series,series_index,languages,tags,rating,formats"
    listed = json.loads(
        calibre(
            "calibredb",
            "list",
            "--for-machine",
            "--fields",
            fields,
            "--with-library",
            str(LIBRARY),
        )
    )
    books: dict[str, object] = {}
    seen: set[str] = set()
    counts = Counter(discovered=0, uploaded=0, duplicate=0, failed=0)
    for entry in sorted(listed, key=lambda item: item["id"]):
        files = {}
        for name in sorted(entry.pop("formats")):
            path = Path(name)
            data = path.read_bytes()
            kind, sha1 = path.suffix[1:].upper(), hashlib.sha1(data).hexdigest()
            files[kind] = {"sha1": sha1, "size": len(data)}
            counts["discovered"] += 1
            counts[
                "failed"
                if kind in REFUSED
                else "duplicate"
                if sha1 in seen
                else "uploaded"
            ] += 1
            seen.add(sha1)
        books[str(entry.pop("id"))] = {**entry, "formats": files}
    first = {**counts, "failed": {"unsupported": counts["failed"]}}
    again = {
        **first,
        "uploaded": 0,
        "duplicate": counts["uploaded"] + counts["duplicate"],
    }
    return {"first_run": first, "second_run": again, "books": books}


if __name__ == "__main__":
    main()
