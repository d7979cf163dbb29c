"""Proves that database and data directory are the server's, before anything is written."""

from dataclasses import dataclass, field
from pathlib import Path

from common.settings.server_files import ServerFiles
from migration.lanes.direct.messages import Opening
from migration.server.data_dir import usable
from migration.server.data_dir.layout import layout
from migration.server.direct import database, proof
from migration.server.direct.connection import connect
from migration.server.session import Session


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the settings say of the server's host; `files` are the server's own.

    `owner` is the user who shall own the ebooks, "" for the login. `looked` is the
    highest id of a file on the server that the ledger knows.
    """

    uri: str = field(repr=False)
    files: ServerFiles
    data_dir: Path
    keep_covers: bool
    library: Path
    library_uuid: str
    username: str
    owner: str
    public_shelves: bool
    looked: int = 0


def prove(wanted: Wanted, session: Session) -> Opening:
    """Returns what the lane's process is told.

    Raises Misconfigured, with what is not this server's or cannot be used, or Transient.
    Nothing is left of the proof.
    """
    found = layout(wanted.files, wanted.data_dir, keep_covers=wanted.keep_covers)
    places = found.places
    usable.check(places, 0)
    rows = connect(wanted.uri)
    try:
        database.check(rows)
        login = proof.user_id(session, rows, wanted.username)
        owner = proof.owner_id(rows, wanted.owner) if wanted.owner else login
        proof.prove(session, rows, proof.UploadsDir(places.uploads), login)
    finally:
        rows.close()
    return Opening(
        wanted.uri,
        found,
        str(wanted.library),
        wanted.library_uuid,
        login,
        owner,
        wanted.looked,
        wanted.public_shelves,
    )
