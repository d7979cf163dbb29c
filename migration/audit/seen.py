"""What the server shows of an ebook and of an author, as the audit reads it. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass

from common.json_value import Json
from migration.metadata.compare import Fields
from migration.model import EbookId, PersonName


@dataclass(frozen=True, slots=True)
class SeenAuthor:
    """An author of an ebook; `first` is "" without one."""

    id: int
    last: str
    first: str


@dataclass(frozen=True, slots=True)
class Seen:
    """An ebook as it is on the server.

    `rating` is the login's own, `files` are (format, size) as the server names them;
    `created` is when the ebook was made, "" if the server does not say.
    """

    id: EbookId
    title: str
    authors: tuple[SeenAuthor, ...]
    series: str | None
    series_index: int | None
    language: str
    genres: frozenset[str]
    rating: float | None
    cover: bool
    files: frozenset[tuple[str, int]]
    created: str

    @property
    def fields(self) -> Fields:
        """The values, for the words in which differences are reported."""
        return Fields(
            title=self.title,
            authors=tuple(PersonName(one.last, one.first) for one in self.authors),
            series=self.series,
            series_index=self.series_index,
            language=self.language,
            genres=self.genres,
            rating=self.rating,
        )


@dataclass(frozen=True, slots=True)
class Birth:
    """When an author was made, and the lowest of its ebooks; 0 if it has none."""

    created: str
    first_ebook: int


def ebook(ebook_id: EbookId, body: Mapping[str, Json]) -> Seen:
    """Reads an answer; what is missing is empty, for null fields are left out."""
    series, language = _object(body.get("series")), _object(body.get("language"))
    index, rating = body.get("series_index"), body.get("my_rating")
    return Seen(
        ebook_id,
        _text(body.get("title")),
        tuple(
            SeenAuthor(
                _whole(one.get("id")),
                _text(one.get("last_name")),
                _text(one.get("first_name")),
            )
            for one in _objects(body.get("authors"))
        ),
        _text(series.get("title")) if series else None,
        _whole(index) if index is not None else None,
        _text(language.get("code")),
        frozenset(_text(one.get("name")) for one in _objects(body.get("genres"))),
        float(rating) if isinstance(rating, int | float) else None,
        body.get("cover") is True,
        frozenset(
            (_text(one.get("format")).lower(), _whole(one.get("size")))
            for one in _objects(body.get("sources"))
        ),
        _text(body.get("created")),
    )


def birth(body: Mapping[str, Json]) -> Birth:
    """Reads the answer about an author."""
    ebooks = body.get("ebooks")
    ids = [_whole(one) for one in ebooks] if isinstance(ebooks, list) else []
    return Birth(_text(body.get("created")), min(ids, default=0))


def _object(value: Json) -> dict[str, Json]:
    return value if isinstance(value, dict) else {}


def _objects(value: Json) -> list[dict[str, Json]]:
    return (
        [one for one in value if isinstance(one, dict)]
        if isinstance(value, list)
        else []
    )


def _text(value: Json) -> str:
    return value if isinstance(value, str) else ""


def _whole(value: Json) -> int:
    return value if isinstance(value, int) and not isinstance(value, bool) else 0
