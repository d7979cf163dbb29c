"""The error tree, by what the caller must do.

::

    MigrationError
    ├── Transient            wait and try again; nothing is wrong with the file
    │   ├── ServerUnreachable    refused, reset, timed out before an answer
    │   ├── ServerFault          what came is no answer: 5xx, a redirect, a page,
    │   │   │                    the server's own trouble; or a task's
    │   │   ├── Unlisted         the server answers, but cannot tell whether it has
    │   │   │                    an ebook of this title
    │   │   └── DataDirUnwritable  its data directory takes nothing now: no space …
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
    │   ├── RefusedByServer  SuperuserMissing  StoppedItsWorker
    │   └── BadCover             of a book's cover only; its files go on
    └── Fatal                stop at once with a clear message and the exit code of the class
        ├── StateDirUnclear                                2
        ├── Misconfigured                                  2
        │   ├── NoPassword  LoginFileUnusable  WrongServerUrl  LanguageMissing
        │   ├── ServerDatabaseUnusable  DataDirUnusable  PriorityRefused  ClusterUnusable
        │   ├── NotInLibrary  AnotherSelection
        │   └── NothingToUndo  PassIsOpen  ShelfColumnUnusable
        ├── WrongLedger                                    2
        │   └── NotAdopted  NotRebound  LedgerOfAnotherVersion  NothingMigrated
        ├── ServerNeverAnswered  LoginRefused              3
        │   └── EmbeddedServerStopped
        ├── LibraryUnreadable                              4
        │   └── NotALibrary  LibraryDamaged  LibraryReplaced  LibraryBusy
        ├── StateUnwritable                                5
        │   └── StateDirGone  StateOnNetwork  NoStartTime
        ├── WorkerIdTaken                                  7
        ├── LedgerCorrupt                                  9
        ├── OutOfResources                                 70
        │   ├── TooManyOpenFiles  OutOfMemory
        │   └── OutOfThreads  RecursionTooDeep
        └── Superseded  FalseClaim                         70

Every deliberate raise in `migration` is one of these; each leaf's docstring is what it
means, its code what people are told about it (`common/errors/`)."""

from collections.abc import Hashable
from dataclasses import dataclass
from datetime import datetime

from common.errors import Fatal as Fatal
from common.errors import MigrationError as MigrationError
from common.errors import NoStartTime as NoStartTime
from common.errors import OutOfMemory as OutOfMemory
from common.errors import OutOfResources as OutOfResources
from common.errors import OutOfThreads as OutOfThreads
from common.errors import RecursionTooDeep as RecursionTooDeep
from common.errors import StateDirGone as StateDirGone
from common.errors import StateDirUnclear as StateDirUnclear
from common.errors import StateOnNetwork as StateOnNetwork
from common.errors import StateUnwritable as StateUnwritable
from common.errors import TooManyOpenFiles as TooManyOpenFiles
from common.exit_status import ExitCode as ExitCode


class Transient(MigrationError):
    """Wait and try again; nothing is wrong with the file.

    `retry_after`: seconds that the server, or a proxy before it, asked to wait, or 0.
    """

    def __init__(self, message: str = "", *, retry_after: float = 0.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ServerUnreachable(Transient):
    """Refused, reset or timed out.

    The request was certainly not carried out, or may be repeated.
    """

    code = "server-unreachable"


class ServerFault(Transient):
    """The response is no answer of the protocol, or a task failed on the server's side.

    It may be a 5xx, a redirect, a page, or trouble of the server's own.
    """

    code = "server-fault"


class Unlisted(ServerFault):
    """The server answers, but cannot tell whether it has an ebook of this title."""

    code = "title-lookup-failed"


class DataDirUnwritable(ServerFault):
    """The server's data directory takes nothing now: it is full, or its disk fails."""

    code = "server-data-dir-unwritable"


class ResponseLost(Transient):
    """A request that must not be repeated got no answer: it may have been carried out.

    `still_running` is False when the server has certainly finished with it, so it can
    be reconciled at once.
    """

    code = "response-lost"

    def __init__(
        self, message: str, *, still_running: bool = True, retry_after: float = 0.0
    ) -> None:
        super().__init__(message, retry_after=retry_after)
        self.still_running = still_running


class FileChanged(Transient):
    """The file was rewritten while it was being read."""

    code = "file-changed"


class TokenRefused(Transient):
    """The server does not accept a token received from another process.

    The process that has the password must get a new one.
    """

    code = "token-refused"


class LedgerBusy(Transient):
    """Another process held the ledger's write lock for too long."""

    code = "ledger-busy"


class Deferred(MigrationError):
    """Not now: the bytes or a name are in flight, or it is too early to reconcile.

    `until` is the timezone-aware UTC time before which trying again is pointless; None
    means that it depends on something else.
    """

    code = "deferred"

    def __init__(self, message: str, until: datetime | None = None) -> None:
        super().__init__(message)
        self.until = until


class MachineLost(Deferred):
    """The machine of a Dask cluster that had this file is gone or out of reach.

    `died` is True when the file may be to blame: then it counts as an attempt, like the
    death of a local worker. `uploaded` is True when its bytes were on the server by
    then, in an upload that will never be attached.
    """

    code = "machine-lost"

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
    """A file is not where Calibre listed it.

    metadata.db must be queried again before the file counts as missing.
    """


@dataclass(frozen=True, slots=True)
class Evidence:
    """The observation that proves that a file cannot arrive.

    It is the server's refusal, or a check of the file's size and bytes. `reason` is the
    stable term, `message` one cleaned line; `about` is the FileId, BookId or Digest it
    is about. Only `evidence` makes one, so a file cannot be `failed` just because the
    worker's own code says so.
    """

    reason: str
    message: str
    about: Hashable


class Rejected(MigrationError):
    """This file will not arrive as it is.

    `reason` is the stable term of the ledger, the summary and docs/errors.md.
    `evidence` is set when trusted code raised the error; see `migration/evidence.py`.
    """

    reason = "rejected"
    evidence: Evidence | None = None


class TooBig(Rejected):
    """The file is larger than the server accepts."""

    code = "too-big"
    reason = "too big"


class Unsupported(Rejected):
    """The server does not accept files of this format."""

    code = "unsupported"
    reason = "unsupported"


class EmptyFile(Rejected):
    """The file has no bytes."""

    code = "empty"
    reason = "empty"


class MissingFile(Rejected):
    """Calibre lists the file but it is not in the library."""

    code = "missing"
    reason = "missing"


class AmbiguousFile(MissingFile):
    """The file is not where Calibre lists it, and several files there could be it."""


class Unreadable(Rejected):
    """The operating system does not let us read the file."""

    code = "unreadable"
    reason = "unreadable"


class OutsideLibrary(Rejected):
    """The recorded path leaves the library (`..`, absolute, empty).

    It was not opened.
    """

    code = "outside-the-library"
    reason = "outside the library"


class NotRegular(Rejected):
    """The path is a symbolic link, directory, pipe or device; it was not opened."""

    code = "not-a-regular-file"
    reason = "not a regular file"


class RefusedByServer(Rejected):
    """The server refused the file or its metadata, with a reason."""

    code = "refused-by-the-server"
    reason = "refused by the server"


class SuperuserMissing(RefusedByServer):
    """The user may not change or remove items of shelves, or shelves."""

    code = "superuser-missing"


class StoppedItsWorker(Rejected):
    """The worker died three times while working on this file."""

    code = "stopped-its-worker"
    reason = "stopped its worker 3 times"


class BadCover(Rejected):
    """Calibre's cover is not a picture that can be sent.

    The book goes on without it.
    """

    code = "cover-not-sendable"
    reason = "cover not sendable"


class Misconfigured(Fatal):
    """An option, an environment variable or a setting is wrong or missing."""

    code = "misconfigured"
    exit_code = ExitCode.USAGE


class NoPassword(Misconfigured):
    """No password for the server was given."""

    code = "no-password"


class LoginFileUnusable(Misconfigured):
    """The embedded server's login file is missing, damaged or not accessible."""

    code = "login-file-unusable"


class WrongServerUrl(Misconfigured):
    """The address of the server is not a URL."""

    code = "wrong-server-url"


class LanguageMissing(Misconfigured):
    """The server does not have the default language."""

    code = "language-missing"


class ServerDatabaseUnusable(Misconfigured):
    """MBS2_DB_URI does not lead to MyBookshelf2's database."""

    code = "server-database-unusable"


class DataDirUnusable(Misconfigured):
    """MBS2_DATA_DIR is not a directory in which the server could use what we place."""

    code = "server-data-dir-unusable"


class ShelfColumnUnusable(Misconfigured):
    """A custom column that should become shelves does not exist or cannot."""

    code = "shelf-column-unusable"


class PriorityRefused(Misconfigured):
    """The system does not allow or know this priority."""

    code = "priority-refused"


class NotInLibrary(Misconfigured):
    """A name that books are selected by is not in the library."""

    code = "not-in-the-library"


class AnotherSelection(Misconfigured):
    """A pass with another selection is open."""

    code = "another-selection"


class NothingToUndo(Misconfigured):
    """There is no such pass, or nothing is recorded of what it made."""

    code = "nothing-to-undo"


class PassIsOpen(Misconfigured):
    """A pass is open, or programs of this migration run, or an undo is unfinished."""

    code = "pass-is-open"


class ClusterUnusable(Misconfigured):
    """Dask is missing, or its scheduler, machines or certificates do not match."""

    code = "cluster-unusable"


class WrongLedger(Fatal):
    """The ledger belongs to another library, server or version."""

    code = "wrong-ledger"
    exit_code = ExitCode.USAGE


class NotAdopted(WrongLedger):
    """The library is not a restored copy of the one the ledger knows."""

    code = "not-adopted"


class NotRebound(WrongLedger):
    """The new address is not proved to be that of the ledger's server."""

    code = "not-rebound"


class LedgerOfAnotherVersion(WrongLedger):
    """The ledger's tables are those of another version of this program."""

    code = "ledger-of-another-version"


class NothingMigrated(WrongLedger):
    """There is no ledger in the state directory."""

    code = "nothing-migrated"


class ServerNeverAnswered(Fatal):
    """The server could not be reached for 60 seconds at start."""

    code = "server-never-answered"
    exit_code = ExitCode.SERVER


class EmbeddedServerStopped(ServerNeverAnswered):
    """The embedded server of the migration does not run, so it cannot be asked."""

    code = "embedded-server-stopped"


class LoginRefused(Fatal):
    """The server refuses this login, or does not let the user upload."""

    code = "login-refused"
    exit_code = ExitCode.SERVER


class LibraryUnreadable(Fatal):
    """metadata.db is missing, damaged, locked for too long or not a Calibre library."""

    code = "library-unreadable"
    exit_code = ExitCode.LIBRARY


class NotALibrary(LibraryUnreadable):
    """There is no metadata.db, or it is not Calibre's."""

    code = "not-a-library"


class LibraryDamaged(LibraryUnreadable):
    """SQLite cannot read metadata.db."""

    code = "library-damaged"


class LibraryReplaced(LibraryUnreadable):
    """metadata.db became another library's during the run."""

    code = "library-replaced"


class LibraryBusy(LibraryUnreadable):
    """Another program has metadata.db locked; a running worker waits for it."""

    code = "library-busy"


class LedgerCorrupt(Fatal):
    """The ledger is damaged or gone.

    The next start sets it aside, rebuilds it and reports that.
    """

    code = "ledger-damaged"
    exit_code = ExitCode.DAMAGED


class WorkerIdTaken(Fatal):
    """A worker with this id is already running on this state directory."""

    code = "worker-id-taken"
    exit_code = ExitCode.TAKEN


class Superseded(Fatal):
    """This process no longer owns its work; going on could do something twice."""

    code = "superseded"
    exit_code = ExitCode.INTERNAL


class FalseClaim(Fatal):
    """The worker's script claims something that this process has not seen."""

    code = "false-claim"
    exit_code = ExitCode.INTERNAL
