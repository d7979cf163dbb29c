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
        version: int | None = ebook.version
        groups = [
            [field for field in Field if field in set(sent) & one] for one in _TOGETHER
        ]
        while groups:
            wanted = groups.pop(0)
            if not wanted:
                continue
            if version is None:
                version = self._version(ebook.id)
            body: dict[str, Json] = {"version_id": version}
            for field in wanted:
                body |= _keys(field, metadata, ids)
            try:
                self._patch(ebook.id, body)
            except RefusedByServer as refusal:
                if len(wanted) > 1:
                    # One by one, so that only what is refused is left out.
                    groups = [[field] for field in wanted] + groups
                else:
                    refused[wanted[0]] = str(refusal)
            else:
                version = None
        return refused

    def _patch(self, ebook_id: EbookId, body: dict[str, Json]) -> None:
        response = self.session.call("PATCH", f"/api/ebooks/{ebook_id}", body)
        if "Stalled record" in response.error:
            raise ServerFault(
                f"ebook {ebook_id} was changed by somebody else meanwhile"
            )
        accepted(response)

    def _version(self, ebook_id: EbookId) -> int:
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
