"""Proves that database and data directory belong to the server that was logged in to.

A random token is uploaded through the API and found in the uploads directory; a row of
`upload` that we write ourselves is then shown by the API with our hash, and its file
with our token. Nobody sees any of it, and all of it is removed again; what a killed
process leaves is removed by the next proof, and by the server's own clean-up. If the
uploads are out of reach the token is left to that clean-up.

Books and thumbnails may lie elsewhere than the uploads: the first batch is looked at
through the API besides.
"""

import hashlib
import io
import secrets
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Protocol

import psycopg

from migration.errors import ServerDatabaseUnusable, ServerFault
from migration.metadata.mime import mime_type
from migration.server import payloads
from migration.server.direct.connection import DatabaseSession
from migration.server.http.responses import Response
from migration.server.session import accepted

#: What our rows say in `load_source`, by which a later proof knows them.
MARK = "calibre-direct proof"
#: The same of a row that is left on purpose.
LEFT = f"{MARK}, left"
#: The formats to send the token as, the best first: the server shows a file only if it
#: knows a type for its name, and every system knows these.
PREFERRED = ("txt", "pdf", "html", "rtf", "doc", "epub")

_USER = 'SELECT user_name FROM public."user" WHERE id = %s AND active'
_FORMATS = "SELECT extension, id FROM public.format"
_INSERT = """
    INSERT INTO public.upload (version_id, created, modified, file, cover, load_source,
        format_id, size, hash, created_by_id, modified_by_id)
    VALUES (1, localtimestamp, localtimestamp, %s, %s, %s, %s, %s, %s, %s, %s)
    RETURNING id
"""
_DELETE = "DELETE FROM public.upload WHERE id = %s AND load_source = %s"
_OLD = """
    DELETE FROM public.upload WHERE load_source = %s AND created_by_id = %s
        AND created < localtimestamp - interval '15 minutes' RETURNING file
"""


class Api(Protocol):
    """The login's session with the server, as far as a proof needs it."""

    server: str
    user_id: str

    def access_token(self) -> str:
        """Logs in unless that was done."""

    def call(
        self,
        method: str,
        path: str,
        body: None = None,
        *,
        upload: tuple[Any, str] | None = None,
        once: bool = False,
    ) -> Response:
        """Sends a request."""


class Uploads(Protocol):
    """The directory in which the server keeps uploads that are not attached yet."""

    def read(self, name: str) -> bytes | None:
        """Returns the file of an upload; None when there is none."""

    def remove(self, name: str) -> None:
        """Removes an upload's file and its folder; one that is gone is fine."""


@dataclass(frozen=True, slots=True)
class UploadsDir:
    """That directory on this machine. Raises OSError when it may not be read."""

    path: Path

    def _file(self, name: str) -> Path:
        """Returns the place of `tmpXXXX/name`; raises ValueError for anything else."""
        parts = PurePosixPath(name).parts
        if len(parts) != 2 or ".." in parts or "\0" in name or name.startswith("/"):
            raise ValueError("the server names an upload in an unknown way")
        return self.path.joinpath(*parts)

    def read(self, name: str) -> bytes | None:
        try:
            return self._file(name).read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            return None

    def remove(self, name: str) -> None:
        file = self._file(name)
        try:
            file.unlink(missing_ok=True)
            file.parent.rmdir()
        except (FileNotFoundError, NotADirectoryError):
            return


def user_id(session: Api, database: DatabaseSession, username: str) -> int:
    """Returns the login's id, which must be that of this user in the database.

    Raises ServerDatabaseUnusable: then it is the database of another server.
    """
    session.access_token()
    number = int(session.user_id)
    found = database.rows(_USER, (number,))
    if found != [(username,)]:
        raise ServerDatabaseUnusable(
            f"the database of MBS2_DB_URI is another server's: user {number} there is "
            f"not {username!r}, who logged in to {session.server}"
        )
    return number


def owner_id(database: DatabaseSession, name: str) -> int:
    """Returns the id of the user who shall own what is written."""
    rows = database.rows(
        'SELECT id FROM public."user" WHERE user_name = %s AND active', (name,)
    )
    if not rows:
        raise ServerDatabaseUnusable(
            f"the server has no active user {name!r} to own books"
        )
    return int(rows[0][0])


def prove(session: Api, database: DatabaseSession, uploads: Uploads, user: int) -> None:
    """Raises ServerDatabaseUnusable unless all belong to one server; says which does not.

    Raises Transient as well. Nothing is left behind.
    """
    for (old,) in database.rows(_OLD, (MARK, user)):
        _remove(uploads, old)
    formats: dict[str, int] = dict(database.rows(_FORMATS))
    extension = next((one for one in PREFERRED if one in formats), None)
    if extension is None:
        raise ServerDatabaseUnusable(
            "the server takes none of the formats a proof can be sent as: "
            f"{', '.join(PREFERRED)}"
        )
    token = f"{MARK} {secrets.token_hex(16)}\n".encode()
    name = _uploaded(session, token, extension)
    row = _Row(name, formats[extension], user, token)
    try:
        _see_row(session, database, row)
        _see_file(session, uploads, name, token)
    except _OutOfReach:
        _insert(database, row, LEFT, _sha1(token))
        raise
    finally:
        _remove(uploads, name)


def _uploaded(session: Api, token: bytes, extension: str) -> str:
    """Sends the token as any upload; returns the server's name for it."""
    name = f"{_sha1(token)}.{extension}"
    body = payloads.Multipart(name, io.BytesIO(token), len(token), mime_type(extension))
    response = session.call(
        "POST", "/api/upload", upload=(body, body.content_type), once=True
    )
    return payloads.text(accepted(response).mapping(), "file")


class _OutOfReach(ServerDatabaseUnusable):
    """The server's uploads cannot be reached from here."""


def _see_file(session: Api, uploads: Uploads, name: str, token: bytes) -> None:
    try:
        found = uploads.read(name)
    except ValueError as error:
        raise ServerFault(f"{session.server}: {error}") from None
    except OSError as error:
        raise _OutOfReach(
            "the server's uploads in MBS2_DATA_DIR cannot be read "
            f"({error.strerror or type(error).__name__}): run the migration as the "
            "server's user"
        ) from None
    if found != token:
        raise _OutOfReach(
            f"MBS2_DATA_DIR is not the data directory of {session.server}: what was just "
            "uploaded there is not in it (another server's, or on another host)"
        )


@dataclass(frozen=True, slots=True)
class _Row:
    """What our row of `upload` says."""

    name: str
    format_id: int
    user: int
    token: bytes


def _insert(database: DatabaseSession, row: _Row, mark: str, sha1: str) -> int:
    """Writes the row; returns its id."""
    values = (row.name, row.name, mark, row.format_id, len(row.token), sha1)
    try:
        made = database.rows(_INSERT, (*values, row.user, row.user))
    except psycopg.IntegrityError as error:
        raise ServerFault(
            f"the server's database refuses a row ({type(error).__name__})"
        ) from None
    return int(made[0][0])


def _see_row(session: Api, database: DatabaseSession, row: _Row) -> None:
    """Writes the row with a hash that the server never saw, and looks at it."""
    sha1 = _sha1(secrets.token_bytes(16))
    number = _insert(database, row, MARK, sha1)
    try:
        shown = session.call("GET", f"/api/uploads-meta/{number}")
        if shown.status == 404 or shown.mapping().get("hash") != sha1:
            raise ServerDatabaseUnusable(
                f"the database of MBS2_DB_URI is another server's: {session.server} "
                "does not show what was just written there"
            )
        sent = session.call("GET", f"/api/uploads-meta/{number}/cover")
        if sent.mapping().get("sha1") != _sha1(row.token):
            raise ServerDatabaseUnusable(
                f"{session.server} does not show the file that a row of its database "
                "names: its uploads are elsewhere"
            )
    finally:
        database.rows(_DELETE, (number, MARK))


def _sha1(data: bytes) -> str:
    return hashlib.sha1(data, usedforsecurity=False).hexdigest()


def _remove(uploads: Uploads, name: str) -> None:
    """Cleans up; what cannot be removed is left to the server's own clean-up."""
    try:
        uploads.remove(name)
    except (OSError, ValueError):
        return
