"""Builds the bodies of MyBookshelf2's requests and reads those of its responses."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeGuard

from common.json_value import Json
from migration.errors import ServerFault
from migration.metadata.compare import Fields
from migration.metadata.ebook_metadata import has_mark
from migration.model import EbookId, EbookMetadata, PersonName, SourceId
from migration.server.http.responses import Response

#: Separates the parts of a body; random, so that no book contains it. It is the same
#: for all requests, so that a server parses the header once.
BOUNDARY = uuid.uuid4().hex
#: The fields of an ebook that nobody has read.
NO_FIELDS = Fields()


class Readable(Protocol):
    """What the content of a body is read from."""

    def read(self, size: int = -1, /) -> bytes:
        """Returns the next bytes, b"" at the end."""


@dataclass(frozen=True, slots=True)
class Ebook:
    """An ebook as the server shows it.

    `sources` are (source id, format, size). `guessed` means that it was put together
    from requests and answers, so `version` may be wrong. `fields` are the values that
    are compared; the picture of the cover is not among them. `owners` says who added
    each source, `rating_count` how many users have rated it; `folders` are those on the
    server's disk that its files are in, if they are named after a working title.
    """

    id: EbookId
    version: int
    title: str
    cover: bool
    ids: Mapping[tuple[str, str], int]
    sources: tuple[tuple[SourceId, str, int], ...]
    rating: float | None = None
    guessed: bool = False
    created_by: int | None = None
    fields: Fields = NO_FIELDS
    owners: Mapping[SourceId, int | None] = field(default_factory=dict)
    modified_by: int | None = None
    rating_count: int = 0
    folders: frozenset[str] = frozenset()

    def has_people(self) -> bool:
        """Whether it has authors or a series."""
        return bool(self.ids)

    def with_source(
        self, source: SourceId, extension: str, size: int, *, cover: bool
    ) -> "Ebook":
        """Returns the ebook after an upload was attached.

        Taking over the upload's cover makes a further version.
        """
        takes = cover and not self.cover
        held = (*self.sources, (source, extension, size))
        return replace(
            self, version=self.version + takes, cover=self.cover or cover, sources=held
        )


@dataclass(frozen=True, slots=True)
class ListedEbook:
    """An ebook as a listing shows it."""

    id: EbookId
    title: str


@dataclass(frozen=True, slots=True)
class EbookPage:
    """A page of a listing; `total` counts the ebooks of all its pages."""

    total: int
    ebooks: tuple[ListedEbook, ...]


def made(ebook_id: EbookId, title: str, ids: Mapping[tuple[str, str], int]) -> Ebook:
    """Returns a new ebook as the server would show it.

    `ids` are those it was made with.
    """
    return Ebook(ebook_id, 1, title, False, ids, (), guessed=True)


class Multipart:
    """A streamed `multipart/form-data` body with one part, `file`.

    Never more of it is in memory than is asked for.
    """

    def __init__(self, name: str, content: Readable, size: int, mime: str) -> None:
        """`content` has `size` bytes left; `name` is plain ASCII without quotes."""
        self.content_type = f"multipart/form-data; boundary={BOUNDARY}"
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        self._head = f"{head}Content-Type: {mime}\r\n\r\n".encode("ascii")
        self._tail = f"\r\n--{BOUNDARY}--\r\n".encode("ascii")
        self._content = content
        #: The length of the whole body in bytes; `requests` asks for it.
        self.len = len(self._head) + size + len(self._tail)

    def read(self, size: int = -1) -> bytes:
        """Returns the next bytes: the head, the content in blocks, then the tail."""
        block = self._content.read(size)
        head, self._head = self._head, b""
        if block:
            return head + block if head else block
        tail, self._tail = self._tail, b""
        return head + tail


def proposed(metadata: EbookMetadata) -> dict[str, Json]:
    """Returns Calibre's metadata for the `metadata` task.

    Keys without a value are left out, since null breaks the task.
    """
    keys: dict[str, Json] = {
        "title": metadata.working_title,
        "authors": [_person(author) for author in metadata.authors],
        "genres": [{"name": name} for _id, name in metadata.genres],
        "language": {"code": metadata.language_code},
    }
    if metadata.series is not None:
        keys["series"] = {"title": metadata.series}
        keys["series_index"] = metadata.series_index
    return keys


def _person(author: PersonName) -> dict[str, Json]:
    names: dict[str, Json] = {"last_name": author.last}
    return {**names, "first_name": author.first} if author.first else names


def author_key(author: PersonName) -> tuple[str, str]:
    """Returns the ledger's key of an author: kind and name."""
    return "author", f"{author.last}, {author.first}" if author.first else author.last


def name_keys(metadata: EbookMetadata) -> list[tuple[str, str]]:
    """Returns the names the metadata needs on the server: authors and series."""
    of_series = [] if metadata.series is None else [("series", metadata.series)]
    return [author_key(author) for author in metadata.authors] + of_series


def authors(
    metadata: EbookMetadata, known_ids: Mapping[tuple[str, str], int]
) -> list[Json]:
    """Returns the authors: by id where the server knows them, else by name."""
    result: list[Json] = []
    for author in metadata.authors:
        known = known_ids.get(author_key(author))
        result.append({"id": known} if known is not None else _person(author))
    return result


def series(
    metadata: EbookMetadata, known_ids: Mapping[tuple[str, str], int]
) -> dict[str, Json]:
    """Returns series and index as keys of a body; {} without a series."""
    if metadata.series is None:
        return {}
    known = known_ids.get(("series", metadata.series))
    return {
        "series": {"id": known} if known is not None else {"title": metadata.series},
        "series_index": metadata.series_index,
    }


def ids(entity: Mapping[str, Json]) -> dict[tuple[str, str], int]:
    """Returns the ids of authors and series in an ebook or an upload's metadata."""
    found: dict[tuple[str, str], int] = {}
    people = entity.get("authors")
    for person in people if isinstance(people, list) else []:
        if isinstance(person, dict) and isinstance(person.get("id"), int):
            name = PersonName(
                str(person.get("last_name") or ""), str(person.get("first_name") or "")
            )
            found[author_key(name)] = integer(person["id"])
    its_series = entity.get("series")
    if isinstance(its_series, dict) and isinstance(its_series.get("id"), int):
        found["series", str(its_series.get("title") or "")] = integer(its_series["id"])
    return found


def ebook(ebook_id: EbookId, body: Mapping[str, Json]) -> Ebook:
    """Parses an ebook. Raises ServerFault when the answer is not one."""
    sources = body.get("sources")
    return Ebook(
        ebook_id,
        integer(body.get("version_id")),
        str(body.get("title") or ""),
        bool(body.get("cover")),
        ids(body),
        tuple(
            (
                SourceId(integer(source.get("id"))),
                str(source.get("format") or ""),
                integer(source.get("size")),
            )
            for source in (sources if isinstance(sources, list) else [])
            if isinstance(source, dict)
        ),
        rating=_number(body.get("rating", body.get("my_rating"))),
        created_by=None
        if body.get("created_by") is None
        else integer(body["created_by"]),
        fields=_fields(body),
        owners={
            SourceId(integer(source.get("id"))): _user(source.get("created_by"))
            for source in _objects(sources)
        },
        modified_by=_user(body.get("modified_by")),
        rating_count=int(_number(body.get("rating_count")) or 0),
        folders=frozenset(filter(has_mark, map(_folder, _objects(sources)))),
    )


def _folder(source: Mapping[str, Json]) -> str:
    return str(source.get("location") or "").rpartition("/")[0]


def _user(value: Json) -> int | None:
    return value if _is_whole(value) else None


def _fields(body: Mapping[str, Json]) -> Fields:
    """Returns the values that are compared; what is not shown is not set."""
    its_series, language = body.get("series"), body.get("language")
    index = body.get("series_index")
    return Fields(
        title=str(body.get("title") or ""),
        authors=tuple(
            PersonName(
                str(one.get("last_name") or ""), str(one.get("first_name") or "")
            )
            for one in _objects(body.get("authors"))
        ),
        series=str(its_series.get("title") or "") or None
        if isinstance(its_series, dict)
        else None,
        series_index=index if _is_whole(index) else None,
        language=str(language.get("code") or "") if isinstance(language, dict) else "",
        genres=frozenset(
            str(one.get("name") or "") for one in _objects(body.get("genres"))
        ),
        rating=_number(body.get("my_rating")),
        formats=frozenset(
            str(one.get("format") or "") for one in _objects(body.get("sources"))
        ),
    )


def _objects(value: Json) -> list[dict[str, Json]]:
    return (
        [one for one in value if isinstance(one, dict)]
        if isinstance(value, list)
        else []
    )


def _is_whole(value: Json) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def listing(response: Response) -> EbookPage:
    """Parses a page of ebooks. Raises ServerFault when the answer is not one."""
    found = [
        ListedEbook(EbookId(integer(item.get("id"))), text(item, "title"))
        for item in items(response)
    ]
    return EbookPage(integer(response.mapping().get("total")), tuple(found))


def _number(value: Json) -> float | None:
    return (
        None
        if isinstance(value, bool) or not isinstance(value, int | float)
        else float(value)
    )


def objects(response: Response) -> list[dict[str, Json]]:
    """Returns the objects of a list.

    Raises ServerFault when the answer is not a list.
    """
    if not isinstance(response.body, list):
        raise ServerFault(
            "the server's answer is not a list: "
            f"{response.error or response.text or response.status}"
        )
    return [item for item in response.body if isinstance(item, dict)]


def items(response: Response) -> list[dict[str, Json]]:
    """Returns the objects on a page of a listing; the page may be empty.

    Raises ServerFault when the answer is not a listing.
    """
    listed = response.mapping().get("items")
    if not isinstance(listed, list):
        raise ServerFault(
            "the server's answer lists nothing: "
            f"{response.error or response.text or response.status}"
        )
    return [item for item in listed if isinstance(item, dict)]


def text(body: Mapping[str, Json], key: str) -> str:
    """Returns a text from a body. Raises ServerFault when it is missing."""
    value = body.get(key)
    if not isinstance(value, str):
        raise ServerFault(f"the server's answer lacks {key!r}")
    return value


def integer(value: Json) -> int:
    """Returns a whole number. Raises ServerFault for anything else."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ServerFault(f"the server's answer has {value!r} where a number belongs")
    return value
