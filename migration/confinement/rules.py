"""What a confined worker may use; pure tables.

Whatever is not listed is refused. A rule holds for a file or a folder as it is when the
worker starts, not for its name: a file that is replaced later is another one.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

from migration.state_files import reservation
from migration.state_files.names import LEDGER_NAME

#: Folders of the checkout and files beside them that a worker imports.
PACKAGES = ("common", "migration", "settings.py")
#: The worker's own folder in the state directory, the only one it may make files in.
OWN_FOLDER = "confined"
#: What of the system is read, or its libraries read.
_SYSTEM = (
    "/lib",
    "/lib32",
    "/lib64",
    "/usr/lib",
    "/usr/lib32",
    "/usr/lib64",
    "/usr/local/lib",
    "/usr/share/zoneinfo",
    "/usr/share/ca-certificates",
    "/usr/local/share/ca-certificates",
    "/etc/ld.so.cache",
    "/etc/localtime",
    "/etc/timezone",
    "/etc/hosts",
    "/etc/host.conf",
    "/etc/nsswitch.conf",
    "/etc/resolv.conf",
    "/etc/services",
    "/etc/mime.types",
    "/etc/passwd",
    "/etc/group",
    "/etc/ssl/certs",
    "/etc/ssl/openssl.cnf",
    "/etc/pki/tls/certs",
    "/etc/pki/ca-trust/extracted",
    "/etc/ca-certificates",
    "/proc",
    "/sys/devices/system/cpu",
    "/dev/zero",
    "/dev/random",
    "/dev/urandom",
)
#: Where requests and OpenSSL are told of other certificates.
CERTIFICATES = ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "SSL_CERT_FILE", "SSL_CERT_DIR")


class Access(Enum):
    """What may be done with a file or with everything below a folder."""

    LIST = auto()
    READ = auto()
    #: Reading and writing files that are there, but making or removing none.
    WRITE = auto()
    #: Everything with ordinary files and folders.
    OWN = auto()


@dataclass(frozen=True, slots=True)
class Rule:
    """What may be done with one place."""

    path: Path
    access: Access


@dataclass(frozen=True, slots=True)
class Job:
    """One worker: its script, and what it is to work on.

    `ws_url` is "" where the task engine's place is not given.
    """

    script: Path
    library: Path
    state_dir: Path
    worker_id: int
    project: Path
    server: str
    ws_url: str = ""

    @property
    def folder(self) -> Path:
        """The worker's own folder."""
        return self.state_dir / OWN_FOLDER / f"worker{self.worker_id}"

    @property
    def ledger(self) -> Path:
        """The ledger."""
        return self.state_dir / LEDGER_NAME


@dataclass(frozen=True, slots=True)
class Python:
    """The interpreter: its folders, and where it looks for modules."""

    prefixes: tuple[str, ...]
    search_path: tuple[str, ...]


def written_files(job: Job) -> tuple[Path, ...]:
    """Returns the files a worker writes into, all of which must be there before."""
    number = job.worker_id
    names = (
        f"migration_progress_worker{number}.json",
        f"migration_worker{number}.log",
        f"migration_worker{number}.log.1",
        f"migration_worker{number}.ndjson",
        f"migration_worker{number}.ndjson.1",
        f"migration_worker{number}.lock",
        f"migration_worker{number}.stack",
        "not_carried.jsonl",
        LEDGER_NAME,
        f"{LEDGER_NAME}-wal",
        f"{LEDGER_NAME}-shm",
    )
    return tuple(job.state_dir / name for name in names)


def read_files(job: Job) -> tuple[Path, ...]:
    """Returns what of the state directory is only read."""
    return (job.state_dir / reservation.FOLDER, *sorted(job.state_dir.glob("*.lock")))


def rules(job: Job, python: Python, certificates: Iterable[str]) -> tuple[Rule, ...]:
    """Returns all that a worker may use of the file system."""
    reads = (
        *map(Path, _SYSTEM),
        *interpreter(python),
        *(job.project / name for name in PACKAGES),
        job.script,
        job.library,
        *read_files(job),
        *map(Path, certificates),
    )
    return (
        *(Rule(path, Access.READ) for path in reads),
        Rule(Path("/dev/null"), Access.WRITE),
        Rule(job.state_dir, Access.LIST),
        *(Rule(path, Access.WRITE) for path in written_files(job)),
        Rule(job.folder, Access.OWN),
    )


def interpreter(python: Python) -> tuple[Path, ...]:
    """Returns the folders of Python's libraries: not all of a prefix, such as /usr."""
    folders = [
        Path(prefix) / name
        for prefix in python.prefixes
        for name in ("lib", "lib64", "pyvenv.cfg")
    ]
    packages = [
        Path(entry)
        for entry in python.search_path
        if Path(entry).name in ("site-packages", "dist-packages")
    ]
    return tuple(dict.fromkeys((*folders, *packages)))
