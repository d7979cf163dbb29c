"""The error tree, by what the caller must do.

::

    MigrationError
    ├── Transient            wait and try again; nothing is wrong with the file
    │   ├── ServerUnreachable    refused, reset, timed out before an answer
    │   ├── ServerFault          what came is no answer: 5xx, a redirect, a page,
    │   │   │                    the server's own trouble; or a task's
    │   │   └── Unlisted         the server answers, but cannot tell whether it has
    │   │                        an ebook of this title
    │   ├── ResponseLost         the request may have been carried out: reconcile
    │   │                        before repeating it
    │   ├── FileChanged          the file was rewritten while it was read
    │   ├── TokenRefused         the token another process handed over is no longer good
    │   └── LedgerBusy           another process held the ledger for too long
    ├── Deferred             not now: other books go on meanwhile
    │   ├── MachineLost          the machine of a cluster that was at the file is gone
    │   └── FileMoved            a file is not where Calibre listed it: its range is read again
    ├── Rejected             this file will not arrive; the run goes on;
    │   │                    `--retry-failed` tries again
    │   ├── TooBig  Unsupported  EmptyFile  Unreadable  OutsideLibrary  NotRegular
    │   ├── MissingFile  AmbiguousFile
    │   ├── RefusedByServer  StoppedItsWorker
    │   └── BadCover             of a book's cover only; its files go on
    └── Fatal                stop at once with a clear message and the exit code of the class
        ├── Misconfigured  WrongLedger  StateDirUnclear    2
        ├── ServerNeverAnswered  LoginRefused              3
        ├── LibraryUnreadable  LibraryBusy                 4
        ├── StateUnwritable                                5
        ├── WorkerIdTaken                                  7
        ├── LedgerCorrupt                                  9
        ├── OutOfResources                                 70
        │   └── TooManyOpenFiles  OutOfMemory  RecursionTooDeep
        └── Superseded                                     70

Every deliberate raise in `migration` is one of these; each leaf's docstring is what it
means."""

from collections.abc import Hashable
from dataclasses import dataclass
from datetime import datetime

from common.errors import Fatal as Fatal
from common.errors import MigrationError as MigrationError
from common.errors import OutOfMemory as OutOfMemory
from common.errors import OutOfResources as OutOfResources
from common.errors import RecursionTooDeep as RecursionTooDeep
from common.errors import StateDirUnclear as StateDirUnclear
from common.errors import StateUnwritable as StateUnwritable
from common.errors import TooManyOpenFiles as TooManyOpenFiles
from common.exit_status import ExitCode as ExitCode


class Transient(MigrationError):
    """Wait and try again; nothing is wrong with the file.

    `retry_after` is how many seconds the server, or what stands before it, asked to be
    left alone; 0 when it did not."""

    def __init__(self, message: str = "", *, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ServerUnreachable(Transient):
    """Refused, reset or timed out; the request was certainly not carried out, or may be
    repeated."""


class ServerFault(Transient):
    """What came is no answer of the protocol (5xx, a redirect, a page, trouble of the
    server's own), or a task of the server failed for reasons of its own."""


class Unlisted(ServerFault):
    """The server answers, but cannot tell whether it has an ebook of this title."""


class ResponseLost(Transient):
    """A request that must not be repeated blindly got no answer: it may have been
    carried out.

    `still_running` is False when the server is certainly through with it, so it can be
    reconciled at once."""

    def __init__(
        self, message: str, *, still_running: bool = True, retry_after: float = 0.0
    ) -> None:
        super().__init__(message, retry_after=retry_after)
        self.still_running = still_running


class FileChanged(Transient):
    """The file was rewritten while it was being read."""


class TokenRefused(Transient):
    """The server does not accept a token that was handed over; whoever can log in must
    get a new one."""


class LedgerBusy(Transient):
    """Another process held the ledger's write lock for too long."""


class Deferred(MigrationError):
    """Not now: another worker has these bytes or this name in flight, or it is too
    early to reconcile.

    `until` is the aware UTC time before which trying again is pointless; None means
    when something else settles."""

    def __init__(self, message: str, until: datetime | None = None) -> None:
        super().__init__(message)
        self.until = until


class MachineLost(Deferred):
    """The machine of a Dask cluster that was at this file is gone, or out of reach with
    its scheduler.

    `died` is True when the file may be to blame: then it counts as an attempt, like the
    death of a worker of one's own. `uploaded` is True when its bytes were on the server
    by then, in an upload that nobody will attach."""

    def __init__(
        self,
        message: str,
        *,
        died: bool,
        uploaded: bool = False,
        until: datetime | None = None,
    ) -> None:
        super().__init__(message, until)
        self.died = died
        self.uploaded = uploaded


class FileMoved(Deferred):
    """A file is not where Calibre listed it; metadata.db must be asked again before it
    is missing."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was seen that says why a file cannot arrive: the server's refusal, or a look
    at its size and bytes.

    `reason` is the stable word, `message` one cleaned line; `about` the FileId, BookId
    or Digest it speaks of. Only `evidence` makes one, so a file cannot be `failed`
    because the worker's own code says so."""

    reason: str
    message: str
    about: Hashable


class Rejected(MigrationError):
    """This file will not arrive as it is. `reason` is the stable word of the ledger,
    the summary and docs/errors.md.

    `evidence` is there when the substrate raised it; see `migration/evidence.py`.
    """

    reason = "rejected"
    evidence: Evidence | None = None


class TooBig(Rejected):
    """The file is larger than the server accepts."""

    reason = "too big"


class Unsupported(Rejected):
    """The server does not take files of this format."""

    reason = "unsupported"


class EmptyFile(Rejected):
    """The file has no bytes."""

    reason = "empty"


class MissingFile(Rejected):
    """Calibre lists the file but it is not in the library."""

    reason = "missing"


class AmbiguousFile(MissingFile):
    """The file is not where Calibre lists it, and several files there could be it."""


class Unreadable(Rejected):
    """The operating system does not let us read the file."""

    reason = "unreadable"


class OutsideLibrary(Rejected):
    """The recorded path leaves the library (`..`, absolute, empty); it was not
    opened."""

    reason = "outside the library"


class NotRegular(Rejected):
    """In the file's place is a symlink, directory, pipe or device; it was not
    opened."""

    reason = "not a regular file"


class RefusedByServer(Rejected):
    """The server refused the file or its metadata and says why."""

    reason = "refused by the server"


class StoppedItsWorker(Rejected):
    """The worker died three times while working on this file."""

    reason = "stopped its worker 3 times"


class BadCover(Rejected):
    """Calibre's cover is no picture that can be sent; the book goes on without."""

    reason = "cover not sendable"


class Misconfigured(Fatal):
    """An option, an environment variable or a setting is wrong or missing."""

    exit_code = ExitCode.USAGE


class WrongLedger(Fatal):
    """The ledger in the state directory belongs to another library, server or
    version."""

    exit_code = ExitCode.USAGE


class ServerNeverAnswered(Fatal):
    """The server could not be reached for 60 seconds at start."""

    exit_code = ExitCode.SERVER


class LoginRefused(Fatal):
    """The server does not accept this user name and password, or the user may not
    upload."""

    exit_code = ExitCode.SERVER


class LibraryUnreadable(Fatal):
    """metadata.db is missing, damaged, locked for too long or not a Calibre library."""

    exit_code = ExitCode.LIBRARY


class LibraryBusy(LibraryUnreadable):
    """Another program holds metadata.db locked; a worker that is running waits for
    it."""


class LedgerCorrupt(Fatal):
    """The ledger is damaged or gone: the next start sets it aside and rebuilds it, and
    says so."""

    exit_code = ExitCode.DAMAGED


class WorkerIdTaken(Fatal):
    """A worker with this id is already running on this state directory."""

    exit_code = ExitCode.TAKEN


class Superseded(Fatal):
    """This process no longer owns what it was working on; going on could do something
    twice."""

    exit_code = ExitCode.INTERNAL
