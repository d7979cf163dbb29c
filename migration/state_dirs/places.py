"""The state directories of this machine, with what the files in them say."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path

from common import known_dirs
from common.known_dirs import Use
from common.state_dir import EMBEDDED, NEVER, Place, canonical_server, state_root
from migration.ledger import totals
from migration.model import Progress
from migration.state_files import embedded, owner, progress
from migration.state_files.names import BACKUP_NAME, LEDGER_NAME, MONITOR_PID

#: A directory with one of these is a state directory of ours.
_TRACES = (
    LEDGER_NAME,
    BACKUP_NAME,
    MONITOR_PID,
    "monitor_state.json",
    "migration_progress_worker*.json",
    "bookshelf/server.json",
)

Runs = Callable[[Path], bool]


def workers_run(state_dir: Path) -> bool:
    """Whether a worker of this directory is alive."""
    return owner.any_alive(state_dir)


def everywhere(
    environment: Mapping[str, str], project: Path, runs: Runs = workers_run
) -> list[Place]:
    """Returns all state directories: those of `real` and the demo's."""
    demo = project / "demo" / "state"
    return [*real(environment, project, runs), *_looked_at([demo], {}, runs)]


def real(
    environment: Mapping[str, str], project: Path, runs: Runs = workers_run
) -> list[Place]:
    """Returns those below the state root, in the index and in this checkout."""
    root = state_root(environment)
    uses = {use.state_dir: use for use in known_dirs.read(root)} if root else {}
    found = [*(_folders(root) if root else ()), *uses, project]
    return _looked_at(found, uses, runs)


def gone(environment: Mapping[str, str]) -> list[Use]:
    """Returns index entries whose directories are gone: deleted or not mounted."""
    root = state_root(environment)
    uses = known_dirs.read(root) if root else []
    return [use for use in uses if not _is_ours(use.state_dir)]


def at(state_dir: Path, environment: Mapping[str, str]) -> Place | None:
    """Returns what is in this directory; None when it holds no state."""
    root = state_root(environment)
    uses = {use.state_dir: use for use in known_dirs.read(root)} if root else {}
    return next(iter(_looked_at([state_dir], uses, workers_run)), None)


def _folders(root: Path) -> list[Path]:
    try:
        return sorted(path for path in root.iterdir() if path.is_dir())
    except OSError:
        return []


def _looked_at(
    state_dirs: Iterable[Path], uses: Mapping[Path, Use], runs: Runs
) -> list[Place]:
    """Reads each directory once; one that is gone or holds no state is left out."""
    known = {use.state_dir.resolve(): use for use in uses.values()}
    places = {path.resolve(): None for path in state_dirs}
    return [_place(path, known.get(path), runs) for path in places if _is_ours(path)]


def _is_ours(state_dir: Path) -> bool:
    try:
        return any(next(state_dir.glob(trace), None) for trace in _TRACES)
    except OSError:
        return False


def _place(state_dir: Path, use: Use | None, runs: Runs) -> Place:
    library_id, server_url = _bound_to(state_dir)
    library = use.library if use else ""
    for seen in _progress(state_dir):
        library = library or str(Path(seen.library).expanduser().resolve())
        server_url = server_url or seen.server
    ours = _is_embedded(state_dir, server_url)
    server = EMBEDDED if ours else canonical_server(server_url)
    if use:
        # Its ledger is gone or damaged, and will be rebuilt there.
        library_id = library_id or use.library_id
        server = server if server_url else use.server
    used_at = use.used_at if use else _changed_at(state_dir)
    return Place(
        state_dir, library_id, library, server, server_url, used_at, runs(state_dir)
    )


def _bound_to(state_dir: Path) -> tuple[str, str]:
    """Returns what the ledger, or else its backup, belongs to.

    A damaged ledger is rebuilt later.
    """
    for name in (LEDGER_NAME, BACKUP_NAME):
        try:
            found = totals.bound_to(state_dir / name)
        except totals.UNREADABLE:
            continue
        if found != ("", ""):
            return found
    return "", ""


def _progress(state_dir: Path) -> Iterator[Progress]:
    for path in progress.progress_paths(state_dir):
        seen = progress.read(path)
        if seen is not None:
            yield seen


def _is_embedded(state_dir: Path, server_url: str) -> bool:
    """Whether the ledger belongs to the embedded server kept in the same directory."""
    if not (state_dir / "bookshelf" / "bookshelf.db").is_file():
        return False
    urls = embedded.urls(state_dir / "bookshelf")
    if urls:
        return server_url in ("", *urls)
    return server_url == "" or server_url.startswith("http://127.0.0.1:")


def _changed_at(state_dir: Path) -> datetime:
    """Returns when a run last wrote there.

    The ledger's WAL does not count, because reading creates one.
    """
    moments = [NEVER]
    for name in (LEDGER_NAME, "monitor_state.json", "migration_progress_worker*.json"):
        for path in state_dir.glob(name):
            with suppress(OSError):
                moments.append(datetime.fromtimestamp(path.stat().st_mtime, tz=UTC))
    return max(moments)
