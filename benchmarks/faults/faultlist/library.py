"""The library of a user, with books that few libraries lack: no author, a long name in
Cyrillic, two plain formats, a large file, one title twice, one file twice."""

import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from tests.support.libraries.librarykit import Library, Made, epub, epubs

#: Plain books before and after the others; four workers claim ten at a time.
BEFORE, AFTER = 12, 20
LARGE = 3_000_000
_LONG = "Повесть о том, как долго идёт письмо из одного дома в другой дом"


def users_library(
    root: Path, *, missing_file: bool, more: int = 0
) -> tuple[Library, list[bytes]]:
    """Returns the library and the bytes that must arrive, each once.

    `more` plain books stand at its end.
    """
    library = Library(root)
    last = BEFORE + AFTER + more
    books = [*epubs(range(BEFORE)), *_unusual(), *epubs(range(BEFORE, last))]
    ids = library.add(*books)
    by_title = {book.title: number for book, number in zip(books, ids, strict=True)}
    _rename(library, by_title["Повесть"], f"Author/{_LONG} ({by_title['Повесть']})")
    _cover(library, by_title["Two Plain Formats"])
    wanted = [
        data
        for book in books
        for kind, data in book.files.items()
        if not kind.startswith("ORIGINAL_")
    ]
    if missing_file:
        library.file(by_title["The One That Is Gone"]).unlink()
        wanted.remove(epub(913))
    return library, list(dict.fromkeys(wanted))


def _unusual() -> Sequence[Made]:
    twin = epub(910, title="Twin")
    return (
        Made("By Nobody", authors=(), files={"EPUB": epub(900, title="By Nobody")}),
        Made(
            "Повесть",
            authors=(("Вера Соколова", "Соколова, Вера"),),
            languages=("rus",),
            files={"EPUB": epub(901, title="Повесть")},
            rating=9,
        ),
        Made(
            "Two Plain Formats",
            files={"TXT": b"A preview. " * 20, "RTF": b"{\\rtf1 A preview.}" * 60},
            series="Formats",
            series_index=2,
        ),
        Made("A Heavy Book", files={"EPUB": epub(902, padding=LARGE)}),
        Made("Collected Poems", files={"EPUB": epub(903)}, rating=7),
        Made(
            "Collected Poems",
            authors=(("Ada Okonjo", "Okonjo, Ada"),),
            languages=("deu",),
            files={"EPUB": epub(904)},
        ),
        Made("Twin One", files={"EPUB": twin}),
        Made("Twin Two", files={"EPUB": twin}),
        Made(
            "The Number Nought",
            series="Numbers",
            series_index=0,
            files={"EPUB": epub(905)},
        ),
        Made(
            "Four of Us",
            authors=[(f"Anna Writer{n}", f"Writer{n}, Anna") for n in range(4)],
            files={"EPUB": epub(906), "ORIGINAL_EPUB": epub(907)},
        ),
        Made("A Small One", files={"EPUB": epub(908, padding=10)}),
        Made("The One That Is Gone", files={"EPUB": epub(913)}),
    )


def _rename(library: Library, number: int, folder: str) -> None:
    (library.root / f"Author/Book ({number})").rename(library.root / folder)
    library.sql("UPDATE books SET path = ? WHERE id = ?", (folder, number))


def _cover(library: Library, number: int) -> None:
    picture = io.BytesIO()
    Image.new("RGB", (60, 90), (90, 40, 90)).save(picture, "JPEG")
    (library.root / f"Author/Book ({number})/cover.jpg").write_bytes(picture.getvalue())
    library.sql("UPDATE books SET has_cover = 1 WHERE id = ?", (number,))
