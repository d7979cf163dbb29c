"""The server as the script asks it, and the checks of a pass."""

from dataclasses import dataclass

from migration.checks.last_look import LastLook
from migration.checks.spot_check import SpotCheck
from migration.errors import Transient
from migration.ledger.current_pass import CurrentPass
from migration.ledger.records import Look, Range
from migration.model import Vocabulary
from migration.server.client import BookshelfClient
from migration.worker.checked.ledger import CheckedEnd
from migration.worker.checked.library import CheckedLibrary
from migration.worker.checked.observed import claims
from migration.worker.checked.ranges import Ranges
from migration.worker.joining import Joining


@dataclass(frozen=True, slots=True)
class CheckedSession:
    """The login."""

    _client: BookshelfClient

    @property
    def server(self) -> str:
        """The server's URL."""
        return self._client.session.server

    def login(self) -> None:
        """Gets a new access token. Raises LoginRefused or Transient."""
        self._client.session.login()

    def silent(self) -> str:
        """Names the part of the server that has been silent too long, or returns ""."""
        return self._client.session.silent()


@dataclass(frozen=True, slots=True)
class CheckedClient:
    """What the script asks the server by itself; it sends nothing."""

    _client: BookshelfClient

    @property
    def session(self) -> CheckedSession:
        """The login."""
        return CheckedSession(self._client)

    def vocabulary(self) -> Vocabulary:
        """Returns the server's languages and genres."""
        return self._client.vocabulary()

    def probe(self) -> Transient | None:
        """Returns why the server does not answer, or None."""
        return self._client.probe()


@dataclass(frozen=True, slots=True)
class CheckedJoining:
    """Joins the open pass, for the library that was read."""

    _joining: Joining
    _library: CheckedLibrary

    def join(self, highest: int, listed: int) -> bool:
        """Joins; returns False when there is no pass to join."""
        self._library.check_extent(highest, listed)
        return self._joining.join(highest, listed)


@dataclass(frozen=True, slots=True)
class CheckedSpotCheck:
    """The check at the start, and of the ranges of a server that has lost files."""

    _check: SpotCheck
    _current: CurrentPass
    _ranges: Ranges

    def begin(self, pass_id: int) -> None:
        """Asks about a few files."""
        _require(self._current, pass_id)
        self._check.begin(pass_id)
        self._ranges.server_asked = True

    def ask_range(self, owned: Range) -> None:
        """Asks a server that has lost files about a range."""
        seen = self._ranges.held(owned)
        self._check.ask_range(owned)
        seen.asked = True


@dataclass(frozen=True, slots=True)
class CheckedLastLook:
    """The last look at the server before a pass is closed."""

    _look: LastLook
    _current: CurrentPass
    _end: CheckedEnd

    def begin(self, pass_id: int) -> None:
        """Records how far a later look must page back, unless that is known."""
        _require(self._current, pass_id)
        self._look.begin(pass_id)

    def take(self, look: Look) -> None:
        """Takes the look; closes the pass unless something was set right."""
        self._end.check_look(look)
        self._look.take(look)


def _require(current: CurrentPass, pass_id: int) -> None:
    if pass_id != current.id:
        raise claims(f"pass {pass_id}; it takes part in pass {current.id}")
