"""Changing what an ebook shows, after it was made: its fields, and the picture of its cover."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from common.json_value import Json
from migration.errors import RefusedByServer, ServerFault
from migration.metadata.compare import Field
from migration.model import EbookId, EbookMetadata
from migration.server import payloads
from migration.server.payloads import Ebook
from migration.server.session import Session, accepted

#: Fields that one PATCH can set, in the order in which they are sent. A title and
#: genres in one request fail on some MyBookshelf2 servers ("Stalled record"), so
#: genres have a request of their own.
_TOGETHER = (
    frozenset({Field.TITLE, Field.AUTHORS, Field.SERIES, Field.LANGUAGE}),
    frozenset({Field.GENRES}),
)


@dataclass(frozen=True, slots=True)
class Editor:
    """Edits ebooks over one session. Thread-safe."""

    session: Session

    def change(
        self,
        ebook: Ebook,
        metadata: EbookMetadata,
        ids: Mapping[tuple[str, str], int],
        sent: Collection[Field],
    ) -> dict[Field, str]:
        """Sets these fields of the ebook to those of the metadata.

        Returns what the server refuses, by field, in its words. `ids` are the server's
        ids of names. Raises ServerFault when somebody else has changed the ebook since
        it was read, Transient.
        """
        refused: dict[Field, str] = {}
        version = ebook.version
        for group in _TOGETHER:
            wanted = [field for field in Field if field in group & set(sent)]
            if not wanted:
                continue
            try:
                version = self._patch(ebook.id, version, metadata, ids, wanted)
            except RefusedByServer:
                for field in wanted:
                    try:
                        version = self._patch(ebook.id, version, metadata, ids, [field])
                    except RefusedByServer as refusal:
                        refused[field] = str(refusal)
        return refused

    def _patch(
        self,
        ebook_id: EbookId,
        version: int,
        metadata: EbookMetadata,
        ids: Mapping[tuple[str, str], int],
        wanted: Collection[Field],
    ) -> int:
        """Sends one change; returns the version the ebook has after it."""
        body: dict[str, Json] = {"version_id": version}
        for field in wanted:
            body |= _keys(field, metadata, ids)
        response = self.session.call("PATCH", f"/api/ebooks/{ebook_id}", body)
        if "Stalled record" in response.error:
            raise ServerFault(
                f"ebook {ebook_id} was changed by somebody else meanwhile"
            )
        accepted(response)
        now = self.session.call("GET", f"/api/ebooks/{ebook_id}")
        return payloads.ebook(ebook_id, accepted(now).mapping()).version

    def cover(self, ebook_id: EbookId) -> str:
        """Returns the SHA-1 of the picture the server shows, "" without one."""
        response = self.session.call("GET", f"/api/ebooks/{ebook_id}/cover")
        if response.status == 404:
            return ""
        return payloads.text(accepted(response).mapping(), "sha1")


def _keys(
    field: Field, metadata: EbookMetadata, ids: Mapping[tuple[str, str], int]
) -> dict[str, Json]:
    """Returns the keys of a body that set this field."""
    match field:
        case Field.TITLE:
            return {"title": metadata.title}
        case Field.AUTHORS:
            return {"authors": payloads.authors(metadata, ids)}
        case Field.LANGUAGE:
            return {"language": {"id": metadata.language_id}}
        case Field.GENRES:
            return {"genres": [{"id": number} for number, _name in metadata.genres]}
        case _:
            none: dict[str, Json] = {"series": None, "series_index": None}
            return none | payloads.series(metadata, ids)
