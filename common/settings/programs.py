"""Settings of the smaller programs."""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from common.settings import kinds
from common.settings.lanes import Lanes
from common.settings.selecting import Selecting
from common.settings.setting import setting
from common.settings.shared import (
    DAY,
    Auditing,
    Database,
    Engine,
    Files,
    Library,
    LibraryLock,
    ServerOrOurs,
    StateDir,
    Told,
    Updates,
    UploadLimit,
    User,
    Watching,
)
from common.settings.worker import Extent, Limits

_HOUR_MS = 3_600_000


@dataclass(frozen=True, kw_only=True)
class ForTests:
    """Faults that the embedded server produces on purpose."""

    permissive: bool = setting(
        kinds.switch(),
        False,
        variable="BOOKSHELF_PERMISSIVE",
        option="--permissive",
        container=False,
        what="for tests: no unique constraints, as in MyBookshelf2",
    )
    protocol_only: bool = setting(
        kinds.switch(),
        False,
        variable="BOOKSHELF_PROTOCOL_ONLY",
        option="--protocol-only",
        container=False,
        what="for tests: says of no field that MyBookshelf2 lacks",
    )
    delay_ms: int = setting(
        kinds.whole(0, _HOUR_MS),
        0,
        variable="BOOKSHELF_DELAY_MS",
        option="--delay-ms",
        metavar="N",
        container=False,
        what="for tests: milliseconds added to each call",
    )
    task_ms: int = setting(
        kinds.whole(0, _HOUR_MS),
        0,
        variable="BOOKSHELF_TASK_MS",
        option="--task-ms",
        metavar="N",
        container=False,
        what="for tests: minimum milliseconds per task",
    )
    trouble: Path | None = setting(
        kinds.path(),
        None,
        variable="BOOKSHELF_TROUBLE",
        option="--trouble",
        metavar="FILE",
        container=False,
        what="for tests: a file that names the current fault of the server "
        "(bookshelf/trouble.py)",
    )
    rated_index_fails: bool = setting(
        kinds.switch(),
        False,
        variable="BOOKSHELF_RATED_INDEX_FAILS",
        option="--rated-index-fails",
        container=False,
        what="for tests: /api/ebooks/index answers HTTP 500 when it would list a rated "
        "ebook, as on MyBookshelf2 without simplejson",
    )


@dataclass(frozen=True, kw_only=True)
class Capacity(UploadLimit):
    """What the embedded server takes; whoever starts it hands this on."""

    task_slots: int = setting(
        kinds.whole(1, 1000),
        os.cpu_count() or 1,
        variable="BOOKSHELF_TASK_SLOTS",
        option="--task-slots",
        metavar="N",
        container=False,
        default_text="number of processors",
        what="tasks at the same time",
    )
    max_cover_file_size: int = setting(
        kinds.whole(1, 2**40),
        10 * 1024 * 1024,
        unit="bytes",
        container=False,
        what="largest picture accepted as a cover",
    )


@dataclass(frozen=True, kw_only=True)
class BookshelfSettings(Files, User, Capacity, ForTests):
    """All settings of the embedded server."""

    WITHOUT_OPTION: ClassVar[frozenset[str]] = frozenset({"username"})

    data_dir: Path | None = setting(
        kinds.path(),
        None,
        variable="BOOKSHELF_DATA_DIR",
        option="--data-dir",
        metavar="DIR",
        container=False,
        what="folder of database and files, created if missing",
    )
    host: str = setting(
        kinds.text(),
        "127.0.0.1",
        variable="BOOKSHELF_HOST",
        option="--host",
        metavar="H",
        container=False,
        what="address to listen on",
    )
    port: int = setting(
        kinds.whole(0, 65_535),
        6006,
        variable="BOOKSHELF_PORT",
        option="--port",
        metavar="P",
        container=False,
        what="port to listen on, 0 for any free one",
    )


@dataclass(frozen=True, kw_only=True)
class DashboardSettings(StateDir, Told):
    """All settings of the dashboard."""

    host: str = setting(
        kinds.text(),
        "127.0.0.1",
        variable="DASHBOARD_HOST",
        option="--host",
        metavar="H",
        container=False,
        what="address to listen on",
    )
    port: int = setting(
        kinds.whole(0, 65_535),
        8765,
        variable="DASHBOARD_PORT",
        option="--port",
        metavar="P",
        container=False,
        what="port to listen on, 0 for any free one",
    )
    allowed_hosts: frozenset[str] = setting(
        kinds.words("host names such as nas,media.example", str.lower),
        frozenset(),
        variable="DASHBOARD_ALLOWED_HOSTS",
        option="--allowed-hosts",
        metavar="A,B",
        default_text="127.0.0.1, localhost, ::1",
        what="additional host names for the page, such as that of a proxy",
    )
    public_url: str = setting(
        kinds.url("http", "https", example="http://127.0.0.1:8765"),
        "",
        variable="DASHBOARD_URL",
        container=False,
        default_text="that of host and port",
        what="how the page is reached, where that is not by host and port: links begin "
        "with it, and its name is allowed",
    )


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """The embedded server that ./start.sh starts."""

    embedded_port: int | None = setting(
        kinds.whole(0, 65_535),
        None,
        option="--embedded-port",
        metavar="P",
        container=False,
        default_text="that of the last time, at first 6006; another one if it is taken",
        what="port of the embedded server, 0 for any free one",
    )


@dataclass(frozen=True, kw_only=True)
class StartSettings(
    Embedded,
    Limits,
    Extent,
    Auditing,
    Updates,
    LibraryLock,
    Selecting,
    Lanes,
    User,
    Engine,
    ServerOrOurs,
    Library,
    StateDir,
    Watching,
):
    """The settings that ./start.sh uses itself; it passes on the rest."""

    WITHOUT_OPTION: ClassVar[frozenset[str]] = frozenset(
        {"ws_url", "username", "db_uri"}
    )

    workers: int = setting(
        kinds.whole(1, 8),
        4,
        variable="TARGET_WORKER_COUNT",
        option="--workers",
        metavar="N",
        what="worker processes, 1-8",
    )
    checkout_links: bool = setting(
        kinds.switch(),
        True,
        container=False,
        what="1: links to the logs of the last run in the checkout; 0: none",
    )


@dataclass(frozen=True, kw_only=True)
class KeepSettings(Files):
    """How a container keeps its program running."""

    restart_policy: str = setting(
        kinds.text(
            "no, always, unless-stopped, on-failure or on-failure:N",
            r"no|always|unless-stopped|on-failure(?::[0-9]{1,6})?",
        ),
        "no",
        variable="CONTAINER_RESTART",
        container=False,
        what="Docker's restart policy of this container; with any but no it stays, and "
        "does nothing, where another start would end the same way",
    )
    restart_seconds: float = setting(
        kinds.number(0.1, DAY),
        30.0,
        variable="CONTAINER_RESTART_SECONDS",
        unit="seconds",
        what="how long a container waits before it starts its program again after a "
        "status that may pass (server away, a signal)",
    )


@dataclass(frozen=True, kw_only=True)
class ContainerSettings(KeepSettings, Library, StateDir):
    """The settings that the migrator's container uses itself."""


@dataclass(frozen=True, kw_only=True)
class PrepareSettings(Files, Database):
    """All settings of deploy.prepare_server."""

    role: str = setting(
        kinds.text(),
        "",
        variable="PREPARE_ROLE",
        option="--role",
        metavar="NAME",
        container=False,
        what="role that may do what the direct lane does, and no more: made if it is "
        "missing, and given what it lacks",
    )
    role_password: str = setting(
        kinds.verbatim(),
        "",
        variable="PREPARE_ROLE_PASSWORD",
        secret=True,
        container=False,
        what="password of PREPARE_ROLE; without it the role keeps the one it has, and a "
        "new one has none",
    )

    lock_timeout: float = setting(
        kinds.number(0.1, DAY),
        60.0,
        variable="PREPARE_LOCK_SECONDS",
        unit="seconds",
        option="--lock-timeout",
        metavar="S",
        container=False,
        what="seconds to wait for open transactions; the server keeps working "
        "meanwhile",
    )


@dataclass(frozen=True, kw_only=True)
class CheckEnvSettings(Files):
    """The settings of deploy.check_env itself."""

    POSITIONAL: ClassVar[str] = "profiles"

    profiles: frozenset[str] = setting(
        kinds.some_of("embedded", "migrate", "server", "watch"),
        frozenset({"embedded", "migrate"}),
        variable="COMPOSE_PROFILES",
        container=False,
        what="which services of docker-compose.yml are started; Compose reads it too",
    )
