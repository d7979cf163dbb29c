"""The audit's questions to the server: ebooks, authors, and whether it has a file.

Each is asked until the server answers.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import inf

from common.json_value import Json
from migration.audit import seen
from migration.audit.messages import ALIVE_SECONDS, Alive, Order, Tell, Waiting
from migration.audit.seen import Birth, Seen
from migration.errors import Rejected, TooBig, Unsupported
from migration.metadata.mime import ANY_FORMAT
from migration.model import Digest, EbookId, Vocabulary
from migration.server import postgresql
from migration.server.client import BookshelfClient
from migration.server.http.transport import HttpTransport
from migration.server.questions import Questions, RetryPolicy
from migration.server.session import Session, accepted, task_urls

#: Tries per question, as for a file that is sent.
TRIES = 4


@dataclass(frozen=True, slots=True)
class ServerSide:
    """One server. Every method raises Unanswered, for what the server leaves open."""

    client: BookshelfClient
    questions: Questions
    db_uri: str

    def close(self) -> None:
        """Closes the connections."""
        self.client.session.close()

    def vocabulary(self) -> Vocabulary:
        """Returns the languages and genres of the server."""
        return self.questions.ask(self.client.vocabulary)

    def ebook(self, ebook_id: EbookId) -> Seen | None:
        """Returns an ebook, None when the server says that it does not exist."""
        body = self._body(f"/api/ebooks/{ebook_id}")
        return None if body is None else seen.ebook(ebook_id, body)

    def birth(self, author_id: int) -> Birth | None:
        """Returns when an author was made, None when there is none any more."""
        body = self._body(f"/api/authors/{author_id}")
        return None if body is None else seen.birth(body)

    def _body(self, path: str) -> dict[str, Json] | None:
        answer = self.questions.ask(lambda: self.client.session.call("GET", path))
        return None if answer.status == 404 else accepted(answer).mapping()

    def missing(self, files: Sequence[tuple[str, Digest]]) -> list[str]:
        """Returns those of (format, digest) whose bytes the server does not have.

        What the server does not say is not among them: a file that is larger than it
        accepts by now.
        """
        if self.db_uri:
            digests = [digest for _format, digest in files]
            held = self.questions.ask(lambda: postgresql.holders(self.db_uri, digests))
            return [name for name, digest in files if digest not in held]
        return [name for name, digest in files if not self._has(name, digest)]

    def _has(self, name: str, digest: Digest) -> bool:
        for extension in (name, ANY_FORMAT):
            try:
                return (
                    self.questions.ask(
                        lambda extension=extension: self.client.check(digest, extension)  # type: ignore[misc]
                    )
                    is not None
                )
            except Unsupported:
                # An unsupported format says nothing about the bytes.
                continue
            except TooBig:
                return True
            except Rejected:
                return False
        return False


def server_of(order: Order, tell: Tell) -> ServerSide:
    """Returns the server of an order; nothing is sent yet."""
    session = Session(
        HttpTransport(order.server, order.waits.answer_seconds),
        order.username,
        order.password,
        task_urls(order.server, order.ws_url),
        order.waits,
    )
    client = BookshelfClient(session)
    return ServerSide(client, _questions(order, client, tell), order.db_uri)


def _questions(order: Order, client: BookshelfClient, tell: Tell) -> Questions:
    """Returns what asks until the server answers, however long that takes."""
    waits = order.waits
    policy = RetryPolicy(waits.retry_first_seconds, TRIES, waits.probe_seconds, inf)

    def waiting(begins: bool) -> None:
        tell(Waiting(f"{order.server} does not answer" if begins else ""))

    def sleep(seconds: float) -> None:
        while seconds > 0:
            tell(Alive())
            time.sleep(min(seconds, ALIVE_SECONDS))
            seconds -= ALIVE_SECONDS

    return Questions(lambda: client.probe() is None, sleep, policy, waiting)
