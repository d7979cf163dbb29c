"""A session with the server on a machine that has a token but no password."""

from functools import lru_cache

from migration.cluster.messages import Endpoints, Token
from migration.errors import (
    TokenRefused,
)
from migration.server.client import BookshelfClient
from migration.server.http.transport import HttpTransport
from migration.server.session import Session


class _BorrowedSession(Session):
    """A client with a given token; it has no password to get another."""

    def __init__(self, place: Endpoints, token: Token) -> None:
        super().__init__(
            HttpTransport(place.server, place.waits.answer_seconds),
            "",
            "",
            place.ws_urls,
            place.waits,
        )
        self._token = token.value
        # The coordinator's clock decides, not this machine's: the token is used until
        # the server refuses it.
        self._renew_at = float("inf")

    def login(self) -> None:
        """Raises TokenRefused: only the coordinator has the password."""
        raise TokenRefused(f"{self.server} refuses the token")


@lru_cache(maxsize=4)
def client_of(place: Endpoints, token: Token) -> BookshelfClient:
    """Returns one client per token, so that connections are reused."""
    return BookshelfClient(_BorrowedSession(place, token))
