"""`--rebind`: continuing with a ledger when its server has a new address.

That it is the same server is proved, never taken on trust: with another one the ledger
would call files settled that this one does not have. The newest files of which the
ledger has a receipt must be there, each in its ebook, under its own number and with its
own bytes. The old address is not asked; it need not answer any more.
"""

from collections import Counter
from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

from common.state_dir import same_server
from migration.errors import NotRebound, Rejected, ServerNeverAnswered, Transient
from migration.ledger.ledger import Ledger
from migration.ledger.parts.doubts import Proof
from migration.server.client import BookshelfClient
from migration.server.payloads import Ebook

#: Files that are looked up.
LOOKED_UP = 20


class Seen(StrEnum):
    """What the new address has of a file."""

    SAME = "the same"
    OTHER = "in other ebooks or with other bytes"
    GONE = "not there"


def seen(proof: Proof, ebook: Ebook | None, *, has_bytes: bool) -> Seen:
    """Decides what a file's ebook on the new address proves. Pure."""
    if ebook is None:
        return Seen.GONE
    wanted = (proof.source_id, proof.file.format.lower(), proof.digest.size)
    return Seen.SAME if has_bytes and wanted in ebook.sources else Seen.OTHER


def refusal(found: Counter[Seen]) -> str:
    """Returns why it is not the same server, or "". Pure.

    People delete and move some ebooks; most of the newest files are where they were.
    """
    if found[Seen.SAME] * 2 > found.total():
        return ""
    told = ", ".join(f"{found[kind]} {kind}" for kind in Seen if found[kind])
    return f"of the {found.total()} newest files it has received, this one has {told}"


def rebind(ledger: Ledger, client: BookshelfClient, now: datetime) -> str:
    """Binds the ledger to the address of the client if its server is there.

    Returns in words what was done. Otherwise raises NotRebound, with the reason, and
    changes nothing. Raises ServerNeverAnswered.
    """
    old, new = ledger.identity.server, client.session.server
    if not old or same_server(old, new):
        return f"The ledger belongs to {old or new}; there is nothing to rebind"
    why = _another_user(ledger, client)
    proofs = [] if why else ledger.doubts.newest(LOOKED_UP)
    if proofs:
        why = refusal(_look_up(proofs, client))
    elif not why and ledger.doubts.sample(1):
        why = "none of its files was sent by this program, so nothing proves it"
    if why:
        raise NotRebound(
            f"{ledger.path} stays with the server {old}, because {new} is not proved "
            f"to be the same: {why}. --rebind is for the same server at a new address; "
            "for another one give another --state-dir"
        )
    ledger.identity.rebind(new, now)
    return f"The ledger of {old} goes on with {new}: {len(proofs)} files looked up"


def _another_user(ledger: Ledger, client: BookshelfClient) -> str:
    known, here = ledger.identity.user, client.session.user_id
    if known == here:
        return ""
    return f"the login is user {here} there, and was user {known}"


def _look_up(proofs: Sequence[Proof], client: BookshelfClient) -> Counter[Seen]:
    found: Counter[Seen] = Counter()
    try:
        for proof in proofs:
            ebook = client.ebook(proof.ebook_id)
            known = ebook is not None and _has(proof, client)
            found[seen(proof, ebook, has_bytes=known)] += 1
    except Transient as error:
        raise ServerNeverAnswered(
            f"{client.session.server} did not answer while files were looked up there "
            f"({error}); nothing was changed, start again"
        ) from error
    return found


def _has(proof: Proof, client: BookshelfClient) -> bool:
    try:
        return client.check(proof.digest, proof.file.format.lower()) is not None
    except Rejected:
        return False
