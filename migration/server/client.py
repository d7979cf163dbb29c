"""The client of MyBookshelf2's REST API: makes receipts, turns answers into errors.

What is no answer of the protocol never gets here: `responses` decides that, and
`transport` raises. Most errors of this server come with HTTP 200 and a key `error`; see
the traps in the protocol reference. Requests that must not be repeated blindly (create,
attach) require a fresh intention from the ledger, and raise ResponseLost when their
answer is lost; the caller reconciles.
"""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import IO, Protocol
from urllib.parse import quote

from common.json_value import Json
from migration.errors import (
    MigrationError,
    Rejected,
    ResponseLost,
    ServerFault,
    TooBig,
    Transient,
    Unsupported,
)
from migration.evidence import about
from migration.ledger.records import Asked, Intended
from migration.metadata.mime import mime_type
from migration.model import (
    Digest,
    EbookId,
    EbookMetadata,
    Receipt,
    RemoteMatch,
    SourceId,
    UploadId,
    Vocabulary,
)
from migration.server import lookup, payloads
from migration.server.engine.calls import TaskEngine
from migration.server.http.responses import Response
from migration.server.payloads import Ebook, EbookPage
from migration.server.sequences import Sequence
from migration.server.session import Session, accepted

#: Ebooks per page of a listing; the server returns no more.
PAGE_SIZE = 100

_EXISTING = re.compile(r"Existing source (\d+) in ebook .*\((\d+)\)", re.DOTALL)


class SizedStream(Protocol):
    """A readable stream that knows how many bytes are left."""

    @property
    def len(self) -> int:
        """Bytes still to be read."""

    def read(self, size: int = -1) -> bytes:
        """Returns the next bytes."""


@dataclass(frozen=True, slots=True)
class Extracted:
    """What the server made of an upload.

    Its digest, the server's ids of our names, and whether it has a cover.
    """

    upload_id: UploadId
    digest: Digest
    ids: Mapping[tuple[str, str], int]
    cover: bool


class AttachedElsewhere(MigrationError):
    """The server has these bytes already, in an ebook that is not ours."""

    def __init__(self, match: RemoteMatch) -> None:
        super().__init__("file already exists in another ebook")
        self.match = match


class BookshelfClient:
    """One user's view of one server. Thread-safe."""

    def __init__(self, session: Session) -> None:
        self.session = session
        #: What `vocabulary` returned last.
        self.known_vocabulary = Vocabulary({}, {})
        self._ebooks, self._sources = Sequence("ebook"), Sequence("source")

    def probe(self) -> Transient | None:
        """Returns what is still wrong with the server, or None.

        App, database and task engine are each asked, which takes at most the time-outs
        of one request and two tasks. Raises Fatal.
        """
        try:
            # Sent with the token: without one the request is refused before the
            # database is asked.
            accepted(self.session.call("GET", "/api/languages"))
            self.session.task(TaskEngine.probe)
        except Transient as error:
            return error
        except Rejected as error:
            return ServerFault(str(error))
        return None

    def vocabulary(self) -> Vocabulary:
        """Returns the languages and genres the server can express.

        Also finds out how the server treats connections.
        """
        self.session.http.learn_manners()
        languages = payloads.objects(self.session.call("GET", "/api/languages"))
        genres = payloads.objects(self.session.call("GET", "/api/genres"))
        self.known_vocabulary = Vocabulary(
            {
                str(item.get("code")): payloads.integer(item.get("id"))
                for item in languages
            },
            {
                str(item.get("name")): payloads.integer(item.get("id"))
                for item in genres
            },
        )
        return self.known_vocabulary

    # -- one file ----------------------------------------------------------------------

    def check(self, digest: Digest, extension: str) -> RemoteMatch | None:
        """Asks whether the server would accept a file.

        Returns a RemoteMatch when it has these bytes; raises TooBig or Unsupported.
        """
        response = self.session.call(
            "POST",
            "/api/upload/check",
            {
                "mime_type": mime_type(extension),
                "size": digest.size,
                "hash": digest.sha1,
                "extension": extension,
            },
        )
        with about(digest):
            return self._upload_verdict(response, digest)

    def upload(
        self, outgoing: SizedStream, digest: Digest, extension: str
    ) -> str | RemoteMatch:
        """Sends a file.

        Returns the server's name for it, or a RemoteMatch if it has these bytes. The
        server cleans up an upload that is never attached, so this may be repeated.
        """
        name = f"{digest.sha1}.{extension}"
        body = payloads.Multipart(name, outgoing, outgoing.len, mime_type(extension))
        response = self.session.call(
            "POST", "/api/upload", upload=(body, body.content_type), once=True
        )
        with about(digest):
            match = self._upload_verdict(response, digest)
        return match or payloads.text(response.mapping(), "file")

    def extract(self, file: str, metadata: EbookMetadata) -> UploadId:
        """Has the server read the uploaded file's metadata, proposing Calibre's."""
        return UploadId(
            payloads.integer(
                self.session.task(
                    TaskEngine.call, "metadata", [file, payloads.proposed(metadata)]
                )
            )
        )

    def extracted(self, upload_id: UploadId) -> Extracted:
        """Returns what the server made of an upload.

        Raises ServerFault when the server no longer knows it.
        """
        response = self.session.call("GET", f"/api/uploads-meta/{upload_id}")
        if response.status != 200:
            raise ServerFault(
                f"{self.session.server} does not know upload {upload_id} any more; "
                "the file is sent again"
            )
        meta = response.mapping()
        found = meta.get("meta")
        return Extracted(
            upload_id,
            Digest(payloads.text(meta, "hash"), payloads.integer(meta.get("size"))),
            payloads.ids(found if isinstance(found, dict) else {}),
            bool(meta.get("cover")),
        )

    # -- one book ----------------------------------------------------------------------

    def find(self, title: str) -> list[EbookId]:
        """Returns the ebooks with exactly this title, as the server lists them.

        A working title is unique, so there is at most one. Raises Transient when the
        server cannot tell: only a listing can say "not there".
        """
        return lookup.find(lambda path: self.session.call("GET", path), title)

    def search(self, words: str) -> list[EbookId]:
        """Returns the ids of the first 100 ebooks that have all these words.

        The server searches titles, authors and series.
        """
        response = accepted(
            self.session.call(
                "GET", f"/api/search/{quote(words, safe='')}?page_size=100"
            )
        )
        return [
            EbookId(payloads.integer(item.get("id")))
            for item in payloads.items(response)
        ]

    def create(
        self,
        intended: Intended,
        metadata: EbookMetadata,
        ids: Mapping[tuple[str, str], int],
        *,
        bare: bool,
    ) -> EbookId:
        """Makes the ebook under its working title.

        Without authors and series when `bare`. Raises Deferred when the intention is
        not fresh, ResponseLost or RefusedByServer.
        """
        intended.spend(Asked.CREATE)
        before = self._ebooks.highest
        body: dict[str, Json] = {
            "title": metadata.working_title,
            "language": {"id": metadata.language_id},
            "genres": [{"id": genre_id} for genre_id, _name in metadata.genres],
            "authors": [] if bare else payloads.authors(metadata, ids),
        }
        if not bare:
            body.update(payloads.series(metadata, ids))
        with about(intended.book_id):
            response = self.session.call("POST", "/api/ebooks", body)
            if response.error.startswith("Unknown id"):
                # An id from another database: the embedded server names it where
                # MyBookshelf2 sends HTTP 500.
                raise ResponseLost(
                    f"the server knows an id of ours no more: {response.error}",
                    still_running=False,
                )
            accepted(response)
        return EbookId(
            self._ebooks.made(payloads.integer(response.mapping().get("id")), before)
        )

    def attach(self, intended: Intended, ebook_id: EbookId) -> Receipt:
        """Moves the intended upload into an ebook.

        Raises ResponseLost, AttachedElsewhere or RefusedByServer, and Deferred when the
        intention is not fresh. A second try gets HTTP 404 (no such ebook or upload), so
        that is ResponseLost too: reconcile.
        """
        intended.spend(Asked.ATTACH)
        before = self._sources.highest
        upload_id, digest = intended.intention.upload_id, intended.intention.digest
        if upload_id is None or digest is None:
            raise ValueError(
                f"an intention to attach without an upload: {intended.intention}"
            )
        response = self.session.call(
            "POST", f"/api/ebooks/{ebook_id}/add-upload", {"upload_id": upload_id}
        )
        if response.status == 404:
            raise ResponseLost(
                f"add-upload to ebook {ebook_id}: the upload or the ebook is gone",
                still_running=False,
            )
        return self._receipt(response, ebook_id, digest, before)

    def _receipt(
        self, response: Response, ebook_id: EbookId, digest: Digest, before: int
    ) -> Receipt:
        """Interprets the answer to add-upload.

        `before` was the highest source before the request.
        """
        if "already exists" in response.error:
            existing = _EXISTING.search(response.error)
            if existing is not None and int(existing[2]) == ebook_id:
                return Receipt(digest, ebook_id, SourceId(int(existing[1])))
            raise AttachedElsewhere(
                RemoteMatch(digest, EbookId(int(existing[2])) if existing else None)
            )
        with about(digest):
            source_id = payloads.integer(accepted(response).mapping().get("id"))
        made = self._sources.made(source_id, before)
        return Receipt(digest, ebook_id, SourceId(made))

    def attached(
        self,
        ebook_id: EbookId,
        digest: Digest,
        extension: str,
        upload_id: UploadId | None = None,
    ) -> Receipt | None:
        """Reconciles a lost answer: the receipt if this ebook holds these bytes.

        Returns None when the server does not have them. Raises AttachedElsewhere when
        another ebook has them, Transient when that is not known.
        """
        match = self.check(digest, extension)
        if match is None:
            return None
        ebook = self.ebook(ebook_id)
        for source_id, found, size in ebook.sources if ebook else ():
            if (found, size) == (extension, digest.size):
                return Receipt(digest, ebook_id, source_id)
        if ebook is None or upload_id is None:
            raise AttachedElsewhere(match)
        return self._attached_after_all(ebook_id, digest, upload_id)

    def _attached_after_all(
        self, ebook_id: EbookId, digest: Digest, upload_id: UploadId
    ) -> Receipt:
        """Asks for the upload again when the server's bytes are in no ebook.

        An upload that was attached is gone; if another ebook has the bytes, the answer
        names it.
        """
        response = self.session.call(
            "POST", f"/api/ebooks/{ebook_id}/add-upload", {"upload_id": upload_id}
        )
        if response.status == 404:
            raise ServerFault(
                f"the server has taken upload {upload_id} and does not show it in "
                f"ebook {ebook_id}: an old answer of a "
                "cache, or somebody moved the file; in that case delete the empty ebook there"
            )
        return self._receipt(response, ebook_id, digest, 0)

    def ebook(self, ebook_id: EbookId) -> Ebook | None:
        """Returns the ebook as it is now.

        Returns None when the server itself says that it does not exist.
        """
        response = self.session.call("GET", f"/api/ebooks/{ebook_id}")
        return (
            None
            if response.status == 404
            else payloads.ebook(ebook_id, accepted(response).mapping())
        )

    def newest(self, page: int, size: int = PAGE_SIZE) -> EbookPage:
        """Returns a page of the server's ebooks, newest first.

        Pages count from 1; one after the last is empty.
        """
        response = self.session.call(
            "GET", f"/api/ebooks?sort=-created&page={page}&page_size={size}"
        )
        if response.status == 404 and page > 1:
            return EbookPage(0, ())
        listing = payloads.listing(accepted(response))
        for ebook in listing.ebooks:
            self._ebooks.seen(ebook.id)
        return listing

    def change(
        self,
        ebook: Ebook,
        metadata: EbookMetadata,
        ids: Mapping[tuple[str, str], int],
        *,
        title: str,
        bare: bool,
    ) -> None:
        """Sets the ebook's title; authors and series too when it was made `bare`.

        Raises ServerFault when its version is stale. If the version was a guess, the
        ebook is read and changed again (the server has changed nothing yet), unless
        another user has given it a title meanwhile.
        """
        body: dict[str, Json] = {"title": title, "version_id": ebook.version}
        if bare:
            body |= {
                "authors": payloads.authors(metadata, ids),
                **payloads.series(metadata, ids),
            }
        response = self.session.call("PATCH", f"/api/ebooks/{ebook.id}", body)
        if "Stalled record" in response.error:
            current = self.ebook(ebook.id) if ebook.guessed else None
            if current is None:
                raise ServerFault(
                    f"ebook {ebook.id} was changed by somebody else meanwhile"
                )
            if current.title == ebook.title:
                self.change(current, metadata, ids, title=title, bare=bare)
            return
        accepted(response)

    def rate(self, ebook_id: EbookId, rating: int) -> None:
        """Sets this user's rating, 0-100."""
        answer = self._rate(ebook_id, rating)
        if answer.mapping().get("rating") is None:
            raise ServerFault(f"ebook {ebook_id} was rated and has no rating")

    def unrate(self, ebook_id: EbookId) -> None:
        """Takes this user's rating back; none is fine."""
        self._rate(ebook_id, None)

    def _rate(self, ebook_id: EbookId, rating: int | None) -> Response:
        return accepted(
            self.session.call(
                "POST", f"/api/ebooks/{ebook_id}/rate", {"rating": rating}
            )
        )

    def set_cover(self, ebook_id: EbookId, cover: IO[bytes]) -> None:
        """Sends Calibre's cover.jpg and makes it the ebook's cover."""
        size = cover.seek(0, os.SEEK_END)
        cover.seek(0)
        body = payloads.Multipart("cover.jpg", cover, size, "image/jpeg")
        response = accepted(
            self.session.call(
                "POST", "/api/upload-cover", upload=(body, body.content_type), once=True
            )
        )
        self.session.task(
            TaskEngine.call,
            "cover",
            [payloads.text(response.mapping(), "file"), ebook_id],
        )

    def delete(self, ebook_id: EbookId) -> None:
        """Deletes an ebook that never got a file; one that is gone already is fine.

        It is read once more before. Raises ServerFault when it holds files.
        """
        ebook = self.ebook(ebook_id)
        if ebook is None:
            return
        if ebook.sources:
            raise ServerFault(
                f"ebook {ebook_id} holds files after all; it is not deleted"
            )
        self.delete_whole(ebook_id)

    def delete_whole(self, ebook_id: EbookId) -> None:
        """Deletes an ebook with all that is in it; one that is gone already is fine.

        Whoever calls this has just seen what is in it.
        """
        response = self.session.call("DELETE", f"/api/ebooks/{ebook_id}")
        if response.status != 404:
            accepted(response)

    def delete_source(self, source_id: SourceId) -> None:
        """Deletes a file; one that is gone already is fine."""
        response = self.session.call("DELETE", f"/api/sources/{source_id}")
        if response.status != 404:
            accepted(response)

    def _upload_verdict(self, response: Response, digest: Digest) -> RemoteMatch | None:
        """Interprets the answer to `check` and `upload`.

        None means that the file is accepted.
        """
        error = response.error
        if response.status == 413 or "too big" in error:
            raise TooBig(f"the server accepts no file of {digest.size} bytes")
        if "unsupported" in error:
            raise Unsupported(f"the server says: {error}")
        if "already exists" in error:
            return RemoteMatch(digest)
        accepted(response)
        return None
