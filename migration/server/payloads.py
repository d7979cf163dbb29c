"""What goes into the bodies of MyBookshelf2's requests, and what is read out of its
responses."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

from common.json_value import Json
from migration.errors import ServerFault
from migration.model import EbookId, EbookMetadata, PersonName, SourceId
from migration.server.http.responses import Response

#: Between the parts of a body; no book can know it. The same for all, so that a server
#: parses the header once.
BOUNDARY = uuid.uuid4().hex


class Readable(Protocol):
    """What a body is read from."""

    def read(self, size: int = -1, /) -> bytes:
        """The next bytes, b"" at the end."""


@dataclass(frozen=True, slots=True)
class Ebook:
    """An ebook as the server shows it. `sources` are (source id, format, size).

    `guessed`: put together from what was asked and answered, so `version` may be wrong.
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

    def has_people(self) -> bool:
        """Has it authors or a series?"""
        return bool(self.ids)

    def with_source(
        self, source: SourceId, extension: str, size: int, *, cover: bool
    ) -> "Ebook":
        """The ebook after an upload was attached; taking the upload's cover is a
        further version."""
        takes = cover and not self.cover
        held = (*self.sources, (source, extension, size))
        return replace(
            self, version=self.version + takes, cover=self.cover or cover, sources=held
        )


@dataclass(frozen=True, slots=True)
class ListedEbook:
    """An ebook as a list shows it."""

    id: EbookId
    title: str


@dataclass(frozen=True, slots=True)
class EbookPage:
    """A page of a list; `total` counts the ebooks of all its pages."""

    total: int
    ebooks: tuple[ListedEbook, ...]


def made(ebook_id: EbookId, title: str, ids: Mapping[tuple[str, str], int]) -> Ebook:
    """An ebook that has just been made, as the server would show it; `ids` are those it
    was made with."""
    return Ebook(ebook_id, 1, title, False, ids, (), guessed=True)


class Multipart:
    """A body of `multipart/form-data` with one part, `file`, streamed: never more of it
    in memory than is asked for."""

    def __init__(self, name: str, content: Readable, size: int, mime: str) -> None:
        """`content` has `size` bytes left; `name` is plain ASCII without quotes."""
        self.content_type = f"multipart/form-data; boundary={BOUNDARY}"
        head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        self._head = f"{head}Content-Type: {mime}\r\n\r\n".encode("ascii")
        self._tail = f"\r\n--{BOUNDARY}--\r\n".encode("ascii")
        self._content = content
        #: Bytes of the whole body; what `requests` asks for.
        self.len = len(self._head) + size + len(self._tail)

    def read(self, size: int = -1) -> bytes:
        """The next bytes: the head, the content in blocks, the tail with the last of
        it."""
        block = self._content.read(size)
        head, self._head = self._head, b""
        if block:
            return head + block if head else block
        tail, self._tail = self._tail, b""
        return head + tail


def proposed(metadata: EbookMetadata) -> dict[str, Json]:
    """Calibre's metadata for the `metadata` task. Keys without a value are left out:
    null breaks the task."""
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
    """The ledger's key of an author: kind and name."""
    return "author", f"{author.last}, {author.first}" if author.first else author.last


def name_keys(metadata: EbookMetadata) -> list[tuple[str, str]]:
    """The names the metadata needs on the server: its authors and its series."""
    of_series = [] if metadata.series is None else [("series", metadata.series)]
    return [author_key(author) for author in metadata.authors] + of_series


def authors(
    metadata: EbookMetadata, known_ids: Mapping[tuple[str, str], int]
) -> list[Json]:
    """The authors: by id where the server knows them, else by name."""
    result: list[Json] = []
    for author in metadata.authors:
        known = known_ids.get(author_key(author))
        result.append({"id": known} if known is not None else _person(author))
    return result


def series(
    metadata: EbookMetadata, known_ids: Mapping[tuple[str, str], int]
) -> dict[str, Json]:
    """The series and index, as keys of a body; {} without a series."""
    if metadata.series is None:
        return {}
    known = known_ids.get(("series", metadata.series))
    return {
        "series": {"id": known} if known is not None else {"title": metadata.series},
        "series_index": metadata.series_index,
    }


def ids(entity: Mapping[str, Json]) -> dict[tuple[str, str], int]:
    """The ids an ebook or an upload's meta names for its authors and its series."""
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
    """An ebook from the server's answer. Raises ServerFault when it is none."""
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
    )


def listing(response: Response) -> EbookPage:
    """A page of ebooks. Raises ServerFault when it is none."""
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
    """The objects of a list. Raises ServerFault when the answer is no list."""
    if not isinstance(response.body, list):
        raise ServerFault(
            "the server's answer is not a list: "
            f"{response.error or response.text or response.status}"
        )
    return [item for item in response.body if isinstance(item, dict)]


def items(response: Response) -> list[dict[str, Json]]:
    """The objects of a page of a list. Raises ServerFault when the answer lists
    nothing, not even nobody."""
    listed = response.mapping().get("items")
    if not isinstance(listed, list):
        raise ServerFault(
            "the server's answer lists nothing: "
            f"{response.error or response.text or response.status}"
        )
    return [item for item in listed if isinstance(item, dict)]


def text(body: Mapping[str, Json], key: str) -> str:
    """A text of a body. Raises ServerFault when it is not there."""
    value = body.get(key)
    if not isinstance(value, str):
        raise ServerFault(f"the server's answer lacks {key!r}")
    return value


def integer(value: Json) -> int:
    """A whole number. Raises ServerFault for anything else."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise ServerFault(f"the server's answer has {value!r} where a number belongs")
    return value
