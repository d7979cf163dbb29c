"""Proves that database and data directory are the server's, before anything is written."""

from dataclasses import dataclass, field
from pathlib import Path

from migration.lanes.direct.messages import Opening
from migration.server.data_dir import usable
from migration.server.data_dir.places import Places
from migration.server.direct import database, proof
from migration.server.direct.connection import connect
from migration.server.session import Session


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the settings say of the server's host.

    `owner` is the user who shall own the ebooks, "" for the login. `looked` is the
    highest id of a file on the server that the ledger knows.
    """

    uri: str = field(repr=False)
    data_dir: Path
    library: Path
    library_uuid: str
    username: str
    owner: str
    keep_covers: bool
    public_shelves: bool
    looked: int = 0


def prove(wanted: Wanted, session: Session) -> Opening:
    """Returns what the lane's process is told.

    Raises Misconfigured, with what is not this server's or cannot be used, or Transient.
    Nothing is left of the proof.
    """
    places = Places.below(wanted.data_dir)
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
        str(wanted.data_dir),
        str(wanted.library),
        wanted.library_uuid,
        login,
        owner,
        wanted.looked,
        wanted.keep_covers,
        wanted.public_shelves,
    )
