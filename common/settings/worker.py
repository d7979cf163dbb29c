"""Settings of a worker."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from common.settings import kinds
from common.settings.lanes import Lanes
from common.settings.selecting import Selecting
from common.settings.server_files import ServerFiles
from common.settings.setting import setting
from common.settings.shared import (
    DAY,
    Auditing,
    Engine,
    Library,
    LibraryLock,
    LogFormat,
    Server,
    StateDir,
    TimeLimit,
    Updates,
    UploadLimit,
    User,
)

_CLUSTER = r"local:[1-9][0-9]{0,2}|(?:tcp|tls)://\S+:[0-9]{1,5}"


@dataclass(frozen=True, kw_only=True)
class Extent:
    """How many files, and of which kind."""

    limit: int = setting(
        kinds.whole(0, 10**12),
        0,
        variable="MIGRATE_LIMIT",
        option="--limit",
        metavar="N",
        what="stop after this many files, 0 for no limit; each worker, where ./start.sh "
        "has --workers beside it",
    )
    formats: frozenset[str] = setting(
        kinds.words("formats such as epub,pdf", lambda word: word.lstrip(".").upper()),
        frozenset(),
        variable="MIGRATE_FORMATS",
        option="--formats",
        metavar="A,B",
        what="only these formats, such as epub,pdf; all if not given. Other files "
        "count as skipped; --format leaves them out of the run",
    )
    rate: float = setting(
        kinds.number(0, 1e9),
        0.0,
        variable="MIGRATE_RATE",
        option="--rate",
        metavar="R",
        what="files per minute for the estimate of --dry-run, 0 for the measured rate",
    )


@dataclass(frozen=True, kw_only=True)
class Work(Extent):
    """How much one worker does at a time, and which files."""

    worker_id: int = setting(
        kinds.whole(1, 1_000_000),
        1,
        option="--worker-id",
        metavar="N",
        container=False,
        what="number of this worker, 1 or more",
    )
    parallel_uploads: int = setting(
        kinds.whole(1, 10),
        3,
        option="--parallel-uploads",
        metavar="N",
        what="files sent at the same time, 1-10",
    )
    batch_size: int = setting(
        kinds.whole(1, 10_000),
        1000,
        option="--batch-size",
        metavar="N",
        what="books to claim at a time, 1-10000",
    )
    default_language: str = setting(
        kinds.text(),
        "en",
        option="--default-language",
        metavar="CODE",
        what="language code for books whose language the server does not have",
    )


@dataclass(frozen=True, kw_only=True)
class Comparing:
    """How books that have changed since the last run are updated."""

    compare_per_min: float = setting(
        kinds.number(0, 1e9),
        3000.0,
        option="--compare-per-min",
        metavar="N",
        what="books per minute that this process compares with the server because an "
        "earlier version did not record what it had sent, 0 for no limit",
    )


@dataclass(frozen=True, kw_only=True)
class Limits(TimeLimit):
    """Limits on a worker's use of network, processor and disk."""

    bwlimit: float = setting(
        kinds.bandwidth(),
        0.0,
        variable="MIGRATE_BWLIMIT",
        option="--bwlimit",
        metavar="RATE",
        unit="bytes a second",
        what="bytes of files sent per second by this process (512K, 1.5M, 2G; KiB "
        "without a suffix), 0 or off for no limit",
    )
    max_files_per_min: float = setting(
        kinds.number(0, 1e9),
        0.0,
        option="--max-files-per-min",
        metavar="N",
        what="files begun per minute by this process, 0 for no limit",
    )
    nice: int = setting(
        kinds.whole(-20, 19),
        0,
        variable="WORKER_NICE",
        option="--nice",
        metavar="N",
        what="CPU priority, 0 (normal) to 19 (lowest)",
    )
    ionice: tuple[str, int] | None = setting(
        kinds.ionice(),
        None,
        variable="WORKER_IONICE",
        option="--ionice",
        metavar="CLASS",
        what="disk priority: idle, or best-effort:0 (highest) to best-effort:7 "
        "(lowest)",
    )


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Using the machines of a Dask cluster for the heavy work."""

    cluster: str = setting(
        kinds.text("tcp://HOST:PORT, tls://HOST:PORT or local:N", _CLUSTER),
        "",
        variable="MIGRATE_CLUSTER",
        option="--cluster",
        metavar="ADDRESS",
        what="let a Dask cluster do the heavy work: tcp://HOST:PORT or tls://HOST:PORT "
        "of its scheduler, or local:N for N processes here; see docs/cluster.md",
    )
    cluster_library: Path | None = setting(
        kinds.path(),
        None,
        variable="MIGRATE_CLUSTER_LIBRARY",
        option="--cluster-library",
        metavar="DIR",
        what="where the cluster's machines have the library mounted, if not at the "
        "same path as here",
    )
    ship_files: bool = setting(
        kinds.switch(),
        False,
        variable="MIGRATE_SHIP_FILES",
        option="--ship-files",
        what="with --cluster: send the files to the machines, which need no mount of "
        "the library",
    )


@dataclass(frozen=True, kw_only=True)
class Waits(LibraryLock):
    """How long a worker waits for each kind of event."""

    retry_first_seconds: float = setting(
        kinds.number(0.001, 600),
        2.0,
        unit="seconds",
        what="first wait before a request is retried; the next ones are two and four "
        "times as long",
    )
    reconcile_after_seconds: float = setting(
        kinds.number(0, 3600),
        40.0,
        unit="seconds",
        what="how long a request whose answer was lost may still run on the server; "
        "only then is it reconciled",
    )
    probe_seconds: float = setting(
        kinds.number(0.01, 3600),
        15.0,
        unit="seconds",
        what="between two probes of a server that does not answer",
    )
    last_look_seconds: float = setting(
        kinds.number(0, 3600),
        3.0,
        unit="seconds",
        what="from a pass's last request to the last look at the server, for requests "
        "delayed in the network",
    )
    start_seconds: float = setting(
        kinds.number(0, DAY),
        60.0,
        unit="seconds",
        what="how long to wait at the start for the server, and for a cluster's "
        "scheduler",
    )
    verify_patience_seconds: float = setting(
        kinds.number(0, DAY),
        120.0,
        unit="seconds",
        what="how long --verify waits for an unreachable server",
    )
    library_busy_seconds: float = setting(
        kinds.number(0.01, 600),
        10.0,
        unit="seconds",
        what="how long one query waits for Calibre to release metadata.db",
    )
    silent_seconds: float = setting(
        kinds.number(0.1, 3600),
        30.0,
        unit="seconds",
        what="after so long without an answer a part of the server counts as down",
    )
    task_seconds: float = setting(
        kinds.number(0.1, DAY),
        120.0,
        unit="seconds",
        what="how long one task of the server may run",
    )
    answer_seconds: float = setting(
        kinds.number(0.1, 3600),
        60.0,
        unit="seconds",
        what="within which an answer must be complete; ten times as much after an "
        "upload",
    )
    ask_first_bytes: int = setting(
        kinds.whole(0, 2**50),
        256 * 1024,
        unit="bytes",
        what="up to this size a file is sent without first asking whether the server "
        "has it",
    )


@dataclass(frozen=True, kw_only=True)
class WorkerSettings(
    UploadLimit,
    Waits,
    LogFormat,
    Cluster,
    Limits,
    Auditing,
    Comparing,
    Updates,
    Selecting,
    Work,
    ServerFiles,
    Lanes,
    User,
    Engine,
    Server,
    Library,
    StateDir,
):
    """All settings of a worker.

    --help shows the last base class first.
    """

    POSITIONAL: ClassVar[str] = "library"
    #: It may hold a password.
    WITHOUT_OPTION: ClassVar[frozenset[str]] = frozenset({"db_uri"})
