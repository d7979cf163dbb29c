"""One book, edited in Calibre, on the server, or in both: every field that is merged."""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import requests
from PIL import Image

from tests.support.libraries import calibre_edits as calibre
from tests.support.libraries.librarykit import Library, Made, epub

#: Short waits.
FAST = {
    "RETRY_FIRST_SECONDS": "0.05",
    "PROBE_SECONDS": "0.2",
    "RECONCILE_AFTER_SECONDS": "0.5",
    "LAST_LOOK_SECONDS": "0",
    "AUDIT": "auto",
}
BOOK = Made(
    title="The Silent Harbour",
    authors=(("Jane Doe", "Doe, Jane"), ("Karel Čapek", "Čapek, Karel")),
    files={"EPUB": epub(1)},
    series="Harbour Tales",
    series_index=2.0,
    tags=("Adventure",),
    rating=8,
)


def picture(colour: str) -> bytes:
    """A JPEG of this colour and white, in squares: the real server trims edges of one
    colour, of a picture in one colour all."""
    made, shown = io.BytesIO(), Image.new("RGB", (60, 90), "white")
    for corner in ((0, 0), (30, 30), (0, 60)):
        shown.paste(Image.new("RGB", (30, 30), colour), corner)
    shown.save(made, "JPEG", quality=95)
    return made.getvalue()


@dataclass(frozen=True, slots=True)
class Server:
    """A server's REST interface, as a person's browser uses it."""

    url: str
    session: requests.Session

    def get(self, path: str) -> Any:
        """The JSON of a path below /api."""
        return self.session.get(f"{self.url}/api{path}", timeout=20).json()

    def ebooks(self) -> list[dict[str, Any]]:
        """Every ebook there is, whole."""
        items = self.get("/ebooks?page_size=100&sort=title")["items"]
        return [self.get(f"/ebooks/{item['id']}") for item in items]

    def patch(self, ebook: dict[str, Any], **changes: object) -> None:
        """What a librarian does."""
        answer = self.session.patch(
            f"{self.url}/api/ebooks/{ebook['id']}",
            json={"version_id": ebook["version_id"], **changes},
            timeout=20,
        ).json()
        assert "error" not in answer, answer

    def rate(self, ebook: dict[str, Any], rating: int | None) -> None:
        """The login's rating."""
        self.session.post(
            f"{self.url}/api/ebooks/{ebook['id']}/rate",
            json={"rating": rating},
            timeout=20,
        ).raise_for_status()

    def colour(self, ebook: dict[str, Any]) -> str:
        """Which of our colours the cover has."""
        answer = self.session.get(
            f"{self.url}/api/ebooks/{ebook['id']}/cover", timeout=20
        )
        answer.raise_for_status()
        with Image.open(io.BytesIO(answer.content)) as shown:
            red, green, blue = shown.convert("RGB").getpixel((5, 5))  # type: ignore[misc]
        shades = {"red": red, "green": green, "blue": blue}
        return max(shades, key=shades.__getitem__)

    def ids(self, kind: str) -> dict[str, int]:
        """The ids of languages by code, or of genres by name."""
        key = "code" if kind == "languages" else "name"
        return {one[key]: one["id"] for one in self.get(f"/{kind}")}


@dataclass(frozen=True, slots=True)
class Edit:
    """How one field is edited to "ours" in Calibre and to "theirs" on the server, and
    what an ebook shows of it."""

    ours: Callable[[Library], None]
    theirs: Callable[[Server, dict[str, Any]], None]
    shown: Callable[[Server, dict[str, Any]], object]
    #: The values: as first carried, ours, theirs.
    values: tuple[object, object, object]


def _people(_server: Server, ebook: dict[str, Any]) -> object:
    return {one["last_name"] for one in ebook["authors"]}


def _title(_server: Server, ebook: dict[str, Any]) -> object:
    return ebook["title"]


def _series(_server: Server, ebook: dict[str, Any]) -> object:
    return ebook.get("series", {}).get("title"), ebook.get("series_index")


EDITS: dict[str, Edit] = {
    "title": Edit(
        lambda library: calibre.set_title(library, 1, "Ours"),
        lambda server, ebook: server.patch(ebook, title="Theirs"),
        _title,
        (BOOK.title, "Ours", "Theirs"),
    ),
    "authors": Edit(
        lambda library: calibre.set_names(
            library, 1, "authors", [("Ann Ours", "Ours, Ann")]
        ),
        lambda server, ebook: server.patch(
            ebook, authors=[{"last_name": "Theirs", "first_name": "Tom"}]
        ),
        _people,
        ({"Doe", "Čapek"}, {"Ours"}, {"Theirs"}),
    ),
    "series": Edit(
        lambda library: calibre.set_names(library, 1, "series", [("Ours",)]),
        lambda server, ebook: server.patch(ebook, series={"title": "Theirs"}),
        _series,
        (("Harbour Tales", 2), ("Ours", 2), ("Theirs", 2)),
    ),
    "series_index": Edit(
        lambda library: calibre.set_index(library, 1, 5.0),
        lambda server, ebook: server.patch(ebook, series_index=7),
        _series,
        (("Harbour Tales", 2), ("Harbour Tales", 5), ("Harbour Tales", 7)),
    ),
    "no series": Edit(
        lambda library: calibre.set_names(library, 1, "series", []),
        lambda server, ebook: server.patch(ebook, series={"title": "Theirs"}),
        _series,
        (("Harbour Tales", 2), (None, None), ("Theirs", 2)),
    ),
    "language": Edit(
        lambda library: calibre.set_names(library, 1, "languages", [("ces",)]),
        lambda server, ebook: server.patch(
            ebook, language={"id": server.ids("languages")["sk"]}
        ),
        lambda _server, ebook: ebook["language"]["code"],
        ("en", "cs", "sk"),
    ),
    "genres": Edit(
        lambda library: calibre.set_names(library, 1, "tags", [("Horror",)]),
        lambda server, ebook: server.patch(
            ebook, genres=[{"id": server.ids("genres")["War"]}]
        ),
        lambda _server, ebook: {one["name"] for one in ebook["genres"]},
        ({"Adventure"}, {"Horror"}, {"War"}),
    ),
    "rating": Edit(
        lambda library: calibre.set_names(library, 1, "ratings", [(4,)]),
        lambda server, ebook: server.rate(ebook, 100),
        lambda _server, ebook: ebook.get("my_rating"),
        (80, 40, 100),
    ),
    "no rating": Edit(
        lambda library: calibre.set_names(library, 1, "ratings", []),
        lambda server, ebook: server.rate(ebook, 100),
        lambda _server, ebook: ebook.get("my_rating"),
        (80, None, 100),
    ),
}


def library_of(root: Any) -> Library:
    """The book, with a red cover."""
    library = Library(root)
    library.add(BOOK)
    calibre.set_cover(library, 1, picture("red"))
    return library
