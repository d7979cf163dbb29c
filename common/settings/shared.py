"""Settings that several programs use."""

from dataclasses import dataclass
from pathlib import Path

from common.settings import kinds
from common.settings.setting import setting

PROJECT = Path(__file__).resolve().parents[2]
#: The longest plausible wait, in seconds.
DAY = 86_400.0
TEN_YEARS = 10 * 366 * DAY


@dataclass(frozen=True, kw_only=True)
class Files:
    """Where settings are read from."""

    read_env_files: bool = setting(
        kinds.switch(),
        True,
        container=False,
        what="0: read no .env file, only options and the environment; works in the "
        "environment only",
    )


@dataclass(frozen=True, kw_only=True)
class StateDir(Files):
    """Where ledger, logs and progress files are."""

    state_dir: Path | None = setting(
        kinds.path(),
        None,
        option="--state-dir",
        metavar="DIR",
        container=False,
        default_text="that of the library and the server, see docs/operations.md",
        what="folder for the ledger, logs and progress",
    )


@dataclass(frozen=True, kw_only=True)
class Library:
    """Which library to migrate."""

    library: Path | None = setting(
        kinds.path(),
        None,
        variable="CALIBRE_LIBRARY",
        option="--library",
        metavar="DIR",
        container=False,
        what="the Calibre library: the folder with metadata.db",
    )


_SERVER = kinds.url("http", "https", example="http://127.0.0.1:6006")


@dataclass(frozen=True, kw_only=True)
class Server:
    """Which server to use."""

    server: str = setting(
        _SERVER,
        "http://127.0.0.1:6006",
        variable="MBS2_SERVER",
        option="--server",
        metavar="URL",
        what="URL of the server",
    )


@dataclass(frozen=True, kw_only=True)
class ServerOrOurs:
    """Which server to use; without one an embedded server is started."""

    server: str | None = setting(
        _SERVER,
        None,
        variable="MBS2_SERVER",
        option="--server",
        metavar="URL",
        what="URL of the server",
        default_text="an embedded server is started",
    )


@dataclass(frozen=True, kw_only=True)
class User:
    """The user to log in as; the embedded server creates this user."""

    username: str = setting(
        kinds.text(),
        "admin",
        variable="MBS2_USERNAME",
        option="--username",
        metavar="U",
        what="user to log in as; the password is MBS2_PASSWORD",
    )
    password: str = setting(
        kinds.verbatim(),
        "",
        variable="MBS2_PASSWORD",
        secret=True,
        what="password of MBS2_USERNAME; without it the embedded server generates one",
    )


@dataclass(frozen=True, kw_only=True)
class Database:
    """The server's own database, and its disk, where they are at hand."""

    db_uri: str = setting(
        kinds.verbatim(),
        "",
        variable="MBS2_DB_URI",
        option="--db-uri",
        metavar="URI",
        secret=True,
        what="URI of the server's PostgreSQL, for its list of file hashes and for "
        "preparing it: postgresql://USER:PASSWORD@HOST:PORT/DATABASE",
    )
    data_dir: Path | None = setting(
        kinds.path(),
        None,
        variable="MBS2_DATA_DIR",
        option="--data-dir",
        metavar="DIR",
        default_text="not at hand",
        what="the server's data directory, with books, thumbs and uploads in it, if it "
        "is on this machine: with MBS2_DB_URI books go straight into both",
    )


@dataclass(frozen=True, kw_only=True)
class Engine:
    """The server's task engine."""

    ws_url: str = setting(
        kinds.url("ws", "wss", example="ws://127.0.0.1:8080/ws"),
        "",
        variable="MBS2_WS_URL",
        option="--ws-url",
        metavar="URL",
        what="URL of the server's task engine; if not given, /ws on the same port, "
        "then port 8080",
    )


@dataclass(frozen=True, kw_only=True)
class UploadLimit:
    """settings.py has the same for MyBookshelf2, which gets nothing of ours but that file.

    It cannot be read here: importing it ends the process on a wrong value. So the number
    stands twice, and a test compares them."""

    max_content_length: int = setting(
        kinds.whole(1, 2**50),
        500 * 1024 * 1024,
        unit="bytes",
        what="the longest upload, framing included; the worker's must not be larger "
        "than the server's",
    )


@dataclass(frozen=True, kw_only=True)
class LogFormat:
    """How logs are written."""

    log_format: str = setting(
        kinds.choice("text", "json"),
        "text",
        option="--log-format",
        metavar="F",
        what="text, or json: logs also as NDJSON, in files beside them",
    )


@dataclass(frozen=True, kw_only=True)
class TimeLimit:
    """How long the whole migration may take."""

    max_duration: float = setting(
        kinds.duration(TEN_YEARS),
        0.0,
        variable="MIGRATE_MAX_DURATION",
        option="--max-duration",
        metavar="TIME",
        default_text="0",
        what="take no new book after this time (90, 45s, 30m, 1h30m; seconds without a "
        "unit), finish those in progress and exit with 6; the next start resumes; 0 "
        "for no limit. With the monitor it limits the whole migration",
    )


@dataclass(frozen=True, kw_only=True)
class Told:
    """What people are told at the end, where a program cannot know it."""

    shelf_url: str = setting(
        kinds.url("http", "https", example="http://127.0.0.1:6006"),
        "",
        container=False,
        default_text="MBS2_SERVER",
        what="how people reach the server's pages, where that is not by MBS2_SERVER: the "
        "page about the end links to it",
    )
    migrate_start: str = setting(
        kinds.text(),
        "",
        container=False,
        default_text="./start.sh …",
        what="the command with which people go on, for the page about the end",
    )


@dataclass(frozen=True, kw_only=True)
class Watching:
    """Whether the monitor stays, and migrates again when the library has changed."""

    watch: bool = setting(
        kinds.switch(),
        False,
        option="--watch",
        container=False,
        what="1: stay, and run another pass whenever the library has changed; 0: end "
        "when the pass is closed",
    )
    watch_every_seconds: float = setting(
        kinds.interval(0.1, 30 * DAY),
        900.0,
        unit="seconds without a unit",
        option="--every",
        metavar="TIME",
        default_text="15m",
        what="with --watch: how long until the next look at the library (90, 45s, 15m, "
        "1h30m); a change made on this machine is noticed at once",
    )
    watch_quiet_seconds: float = setting(
        kinds.number(0, DAY),
        60.0,
        unit="seconds",
        what="with --watch: how long the library must not have changed before a pass "
        "is run",
    )


@dataclass(frozen=True, kw_only=True)
class LibraryLock:
    """How long commands wait for a library that Calibre has locked."""

    library_lock_seconds: float = setting(
        kinds.number(0, DAY),
        120.0,
        unit="seconds",
        what="how long ./start.sh, --verify and --dry-run wait for a locked library",
    )


@dataclass(frozen=True, kw_only=True)
class Shelving:
    """What becomes bookshelves."""

    shelves: tuple[str, ...] = setting(
        kinds.shelves(),
        ("tags", "comments"),
        variable="SHELVES",
        option="--shelves",
        metavar="A,B",
        what="what becomes bookshelves: tags (those without a genre), #column; comments "
        "(as notes of the items); none",
    )
    shelf_columns: tuple[str, ...] = setting(
        kinds.several("labels of custom columns such as #read", kinds.column_labels),
        (),
        option="--shelf-column",
        metavar="LABEL",
        repeats=True,
        what="a custom column that becomes bookshelves, too: one of its name for yes/no, "
        "one per value for texts, lists and series",
    )
    public_shelves: bool = setting(
        kinds.switch(),
        False,
        option="--public-shelves",
        what="new shelves are public, not private",
    )


@dataclass(frozen=True, kw_only=True)
class Auditing:
    """How much of what a pass changed is read back before it is closed."""

    audit: str = setting(
        kinds.text(
            "all, off, auto, or a percentage such as 1%",
            r"all|off|auto|(?:100|[1-9][0-9]?|[0-9]{0,2}\.[0-9]{0,2}[1-9])%",
        ),
        "auto",
        option="--audit",
        metavar="HOW",
        what="how many of the books a pass changed are read back before it is closed: "
        "all, off, a percentage such as 1%, or auto: all up to 500, of more 1 % and at "
        "least 200",
    )


@dataclass(frozen=True, kw_only=True)
class Updates(Shelving):
    """What a further run does about books that were changed since."""

    prefer: str = setting(
        kinds.choice("calibre", "server"),
        "server",
        variable="MIGRATE_PREFER",
        option="--prefer",
        metavar="SIDE",
        what="calibre or server: whose value stays where a field of a book was "
        "changed in both since the last run",
    )
    ratings: str = setting(
        kinds.choice("on", "off"),
        "on",
        variable="MIGRATE_RATINGS",
        option="--ratings",
        metavar="WORD",
        what="off: carry no ratings; on a MyBookshelf2 a rated ebook cannot be deleted "
        "or merged",
    )
    delete_removed: bool = setting(
        kinds.switch(),
        False,
        variable="MIGRATE_DELETE_REMOVED",
        option="--delete-removed",
        container=False,
        what="at the end of the pass delete on the server what was missing in Calibre in "
        "this pass and in an earlier one, if nobody has touched it there; never with a "
        "selection or --watch",
    )
    max_delete: int = setting(
        kinds.whole(0, 10**12),
        0,
        variable="MIGRATE_MAX_DELETE",
        option="--max-delete",
        metavar="N",
        container=False,
        what="with --delete-removed: if more books than this had to go, none goes; 0 "
        "for 20, or 1 % of the library if that is less",
    )
