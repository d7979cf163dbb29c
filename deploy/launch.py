"""`./start.sh`: starts server and workers, shows how they get on, ends with the summary."""

import argparse
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import psutil
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from deploy import processes
from migration import progress, report, totals
from migration.atomic import write_json
from migration.errors import ExitCode
from migration.model import Json
from migration.options import environment_with_files

PROJECT = Path(__file__).resolve().parent.parent
DEMO = PROJECT / "demo"
#: Seconds for the embedded server to listen, and for the first worker to open the pass.
START_SECONDS = 30.0
#: Seconds between two looks, and between two lines when there is no terminal.
LOOK_SECONDS, LINE_SECONDS = 0.25, 5.0


class Refused(Exception):
    """Cannot start, and why."""


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be run."""

    library: Path
    state_dir: Path
    server: str
    login: dict[str, str]
    login_file: Path | None
    workers: int
    worker_options: tuple[str, ...]


def main() -> int:
    """Returns the exit status: the workers' worst, 2 when nothing could be started, 130 after Ctrl-C."""
    console = Console()
    try:
        job = _job(sys.argv[1:])
        return _run(job, console)
    except Refused as refused:
        sys.stderr.write(f"{refused}\n")
        return int(ExitCode.USAGE)


def _parser(environment: dict[str, str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="./start.sh",
        description="Moves a Calibre library to a MyBookshelf2 server and shows the progress until it is done.",
        epilog="examples:\n  ./start.sh --demo\n  ./start.sh --library ~/Calibre\n"
        "  MBS2_PASSWORD=… ./start.sh --library ~/Calibre --server http://nas:6006 --workers 4\n\n"
        "exit status: that of the workers (see bulk_migrate_calibre.py --help); 0 for a demo that went as it should",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--demo", action="store_true", help="move the shipped demo library to the embedded server; all in demo/state/"
    )
    parser.add_argument(
        "--library", metavar="DIR", default=environment.get("CALIBRE_LIBRARY"),
        help="the Calibre library: the folder with metadata.db [no default; environment: CALIBRE_LIBRARY]",
    )  # fmt: skip
    parser.add_argument(
        "--server", metavar="URL", default=environment.get("MBS2_SERVER"),
        help="URL of the server [default: an embedded server is started; environment: MBS2_SERVER]",
    )  # fmt: skip
    parser.add_argument(
        "--workers", type=int, metavar="N", default=environment.get("TARGET_WORKER_COUNT", "2"),
        help="worker processes, 1-8 [default: 2; environment: TARGET_WORKER_COUNT]",
    )  # fmt: skip
    return parser


def _job(argv: Sequence[str]) -> Job:
    environment = environment_with_files(PROJECT)
    parser = _parser(environment)
    given = parser.parse_args(argv)
    if given.demo:
        state_dir = DEMO / "state"
        url, login, file = embedded_server(state_dir / "bookshelf", {})
        return Job(DEMO / "library", state_dir, url, login, file, 2, ("--batch-size", "8"))
    if not given.library:
        parser.error("name your library: --library DIR (or try it with --demo)")
    if not 1 <= given.workers <= 8:
        parser.error(f"--workers {given.workers} is not between 1 and 8")
    library = Path(given.library).expanduser().resolve()
    if not (library / "metadata.db").is_file():
        raise Refused(f"{library} has no metadata.db; name the folder of a Calibre library")
    state_dir = Path(environment.get("STATE_DIR") or PROJECT).expanduser().resolve()
    if given.server:
        login = {key: environment[key] for key in ("MBS2_USERNAME", "MBS2_PASSWORD") if environment.get(key)}
        return Job(library, state_dir, given.server, login, None, given.workers, ())
    known = {key: environment[key] for key in ("MBS2_USERNAME", "MBS2_PASSWORD") if environment.get(key)}
    url, login, file = embedded_server(state_dir / "bookshelf", known)
    return Job(library, state_dir, url, login, file, given.workers, ())


def embedded_server(data_dir: Path, login: dict[str, str]) -> tuple[str, dict[str, str], Path]:
    """Starts the embedded server unless it runs; returns its URL, its login and the file the login is in.

    It gets the port it had the last time, because the ledger is bound to the URL. Raises Refused.
    """
    data_dir.mkdir(parents=True, exist_ok=True)
    known = processes.server(data_dir)
    if known is None or known[0].running() is None:
        port = known[1].rpartition(":")[2] if known else "0"
        log = data_dir / "server.log"
        command = [sys.executable, "-m", "bookshelf", "--data-dir", str(data_dir), "--port", port]
        with log.open("ab") as output:
            child = subprocess.Popen(
                command, cwd=PROJECT, env={**_clean_environment(), **login}, stdin=subprocess.DEVNULL, stdout=output,
                stderr=output, start_new_session=True,
            )  # fmt: skip
        known = _await_server(data_dir, child, log)
    credentials = data_dir / "credentials"
    lines = dict(line.split("=", 1) for line in credentials.read_text().splitlines() if "=" in line)
    return known[1], {"MBS2_USERNAME": lines["username"], "MBS2_PASSWORD": lines["password"]}, credentials


def _await_server(data_dir: Path, child: subprocess.Popen[bytes], log: Path) -> tuple[processes.Recorded, str]:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        known = processes.server(data_dir)
        if known is not None and known[0].pid == child.pid:
            return known
        if child.poll() is not None:
            last = log.read_text(errors="replace").strip().splitlines()
            raise Refused(f"the embedded server did not start: {last[-1] if last else 'no reason given'} (see {log})")
        time.sleep(0.05)
    child.terminate()
    raise Refused(f"the embedded server did not listen within {START_SECONDS:g} s; see {log}")


def _clean_environment() -> dict[str, str]:
    """The environment without settings that belong to another server or library."""
    ours = ("MBS2_", "BOOKSHELF_", "MIGRATE_", "CALIBRE_LIBRARY", "STATE_DIR", "WORKER_ID", "BATCH_SIZE")
    return {key: value for key, value in os.environ.items() if not key.startswith(ours)}


def _run(job: Job, console: Console) -> int:
    before = totals.read(job.state_dir / "migration_ledger.db")
    running = [r for r in processes.workers(job.state_dir) if r.running() is not None]
    if running:
        raise Refused(f"{running[0].what} (pid {running[0].pid}) is already running here; ./stop.sh ends it")
    write_json(job.state_dir / processes.LAUNCHER, _myself())
    signal.signal(signal.SIGTERM, _end)
    children: list[subprocess.Popen[bytes]] = []
    try:
        children.append(_start_worker(job, 1, join=False))
        if _pass_is_open(job, children[0], before):
            for number in range(2, job.workers + 1):
                children.append(_start_worker(job, number, join=True))
        _watch(job, children, console)
    except KeyboardInterrupt:
        console.print("Stopping; the next start goes on from here.")
        return int(ExitCode.SIGINT)
    finally:
        for child in children:
            child.terminate()
        for child in children:
            child.wait(15)
    return _conclude(job, [child.returncode for child in children], console)


def _end(number: int, _frame: object) -> None:
    """SIGTERM, from ./stop.sh: ends the workers on the way out."""
    raise SystemExit(128 + number)


def _myself() -> dict[str, Json]:
    process = psutil.Process()
    started = datetime.fromtimestamp(process.create_time(), tz=UTC)
    return {"pid": process.pid, "pid_started_at": started.isoformat()}


def _start_worker(job: Job, number: int, *, join: bool) -> "subprocess.Popen[bytes]":
    command = [
        sys.executable, str(PROJECT / "bulk_migrate_calibre.py"), str(job.library), "--server", job.server,
        "--worker-id", str(number), "--state-dir", str(job.state_dir), *job.worker_options,
        *(["--join-only"] if join else []),
    ]  # fmt: skip
    job.state_dir.mkdir(parents=True, exist_ok=True)
    with (job.state_dir / f"migration_worker{number}.out").open("wb") as output:
        return subprocess.Popen(
            command, env={**_clean_environment(), **job.login, "PYTHONUNBUFFERED": "1"}, stdin=subprocess.DEVNULL,
            stdout=output, stderr=output, start_new_session=True,
        )  # fmt: skip


def _pass_is_open(job: Job, first: "subprocess.Popen[bytes]", before: totals.Totals | None) -> bool:
    """Waits for the first worker to open or join a pass; False when it ended before the others were needed."""
    newest = before.pass_id if before is not None and before.closed_at is not None else 0
    deadline = time.monotonic() + START_SECONDS * 3
    while time.monotonic() < deadline and first.poll() is None:
        now = totals.read(job.state_dir / "migration_ledger.db")
        if now is not None and now.pass_id > newest:
            return now.closed_at is None
        time.sleep(0.05)
    return False


def _watch(job: Job, children: Sequence["subprocess.Popen[bytes]"], console: Console) -> None:
    """Shows the progress until every worker has ended: a display on a terminal, plain lines otherwise."""
    if console.is_terminal:
        with Live(_display(job), console=console, refresh_per_second=4, transient=True) as live:
            while any(child.poll() is None for child in children):
                time.sleep(LOOK_SECONDS)
                live.update(_display(job))
        return
    said = 0.0
    while any(child.poll() is None for child in children):
        if time.monotonic() - said >= LINE_SECONDS:
            said = time.monotonic()
            console.print(_line(job), markup=False, highlight=False)
        time.sleep(LOOK_SECONDS)


def _display(job: Job) -> Group:
    table = Table(show_header=True, box=None)
    for column in ("worker", "status", "files/min", "now"):
        table.add_column(column, overflow="ellipsis", no_wrap=True)
    for path in sorted(job.state_dir.glob("migration_progress_worker*.json")):
        seen = progress.read(path)
        if seen is not None:
            current = seen.current[0].file if seen.current else ""
            table.add_row(str(seen.worker_id), seen.status.value, f"{seen.rate_files_per_min:.0f}", Text(current))
    return Group(Text(_line(job)), table)


def _line(job: Job) -> str:
    found = totals.read(job.state_dir / "migration_ledger.db")
    if found is None:
        return "Starting"
    counts = found.counts
    return (
        f"{counts.discovered} files found: {counts.uploaded} uploaded, {counts.duplicate} duplicate, "
        f"{counts.skipped} skipped, {counts.failed} failed, {counts.pending} to do"
    )


def _conclude(job: Job, codes: Sequence[int], console: Console) -> int:
    found = totals.read(job.state_dir / "migration_ledger.db")
    good = {int(ExitCode.OK), int(ExitCode.SOME_FAILED)}
    worst = next((code for code in codes if code not in good), max(codes))
    if worst not in good:
        number = list(codes).index(worst) + 1
        said = (job.state_dir / f"migration_worker{number}.out").read_text(errors="replace").strip().splitlines()
        sys.stderr.write(f"Worker {number} ended with status {worst}: {said[-1] if said else 'it said nothing'}\n")
    if found is not None:
        console.print(report.summary(found, datetime.now(tz=UTC)))
    console.print(f"The books can be looked at on {job.server}", markup=False, soft_wrap=True)
    if job.login_file is not None:
        console.print(
            f"The login is in {job.login_file}; the server runs until ./stop.sh", markup=False, soft_wrap=True
        )
    demo_went_well = job.state_dir == DEMO / "state" and worst in good and found is not None and found.closed_at
    return 0 if demo_went_well else worst


if __name__ == "__main__":
    sys.exit(main())
