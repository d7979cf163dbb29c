"""`./start.sh`: checks library and server, opens a pass, starts the monitor, which
starts the workers."""

import argparse
import os
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path

import argcomplete
from rich.console import Console

from auto_monitor.config import Misconfigured, check_together, require_llm_key
from auto_monitor.processes import Command, Workers
from common import sd_notify, state_dir
from common.clock import utc_now
from common.errors import told
from common.settings.command_line import add_options, read_settings
from common.settings.load import Sources, check, load
from common.settings.monitor import MonitorSettings
from common.settings.programs import Capacity, DashboardSettings, StartSettings
from common.settings.shared import Database, Engine, User
from common.settings.worker import WorkerSettings
from deploy import board, display, processes, state
from deploy.embedded import AlreadyWatched, Refused, embedded_server, end_child
from deploy.environment import environment_for
from deploy.stop import stop
from migration.errors import ExitCode, Fatal
from migration.model import Phase
from migration.state_files import progress
from migration.worker import report

PROJECT = Path(__file__).resolve().parent.parent
DEMO = PROJECT / "demo"
#: Seconds for the monitor to come up.
START_SECONDS = 30.0
#: Seconds to wait for a real server before saying that it does not answer.
CHECK_SECONDS = "15"
#: Seconds for everything that is checked before the monitor starts, besides what the
#: worker waits for Calibre.
OPEN_SECONDS = 30.0
#: Seconds a worker gets to end.
STOP_SECONDS = 10.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Job:
    """What is to be run."""

    library: Path
    state_dir: Path
    server: str
    login: dict[str, str]
    login_file: Path | None
    workers: int
    workers_given: bool
    #: Of the monitor and the workers, whatever is said elsewhere.
    settings: dict[str, str]
    values: StartSettings
    found: Sources
    llm_enabled: bool = False
    dashboard: bool = True
    adopt_library: bool = False
    #: The state directory was named: it is not found without its name.
    state_dir_named: bool = False

    @property
    def embedded(self) -> bool:
        """Is the server one that this start has to do with?"""
        return self.login_file is not None

    @property
    def option(self) -> str:
        """What commands need to find the state directory, as a shell takes it."""
        return f" {state_dir.option(self.state_dir)}" if self.state_dir_named else ""


class Mode(Enum):
    """How it is run."""

    DAEMON = "the monitor in the background"
    FOREGROUND = "the monitor in the foreground"
    DRY_RUN = "the monitor in the foreground, touching nothing"
    NO_MONITOR = "workers only"
    DEMO = "the demo, shown until it is done"


def main() -> int:
    """Returns the exit status; see the epilog of --help.

    A start that fails, or that Ctrl-C ends, leaves nothing running that it has started.
    """
    with ExitStack() as undo:
        code = _start(undo)
        if code in (ExitCode.OK, ExitCode.DIFFERENCE):
            undo.pop_all()
    return code


def _start(undo: ExitStack) -> int:
    try:
        console = Console()
        job, mode = _job(sys.argv[1:], console, undo)
        return _run(job, mode, console, undo)
    except Refused as refused:
        sys.stderr.write(f"{told(refused)}\n")
        return int(refused.exit_code)
    except Misconfigured as wrong:
        sys.stderr.write(f"{told(wrong)}\n")
        return int(ExitCode.USAGE)
    except Fatal as error:
        sys.stderr.write(f"{told(error)}\n")
        return int(error.exit_code)
    except OSError as error:
        sys.stderr.write(
            f"cannot start: {error}; the state directory must be on a disk with "
            "room, and writable\n"
        )
        return int(ExitCode.STATE)
    except KeyboardInterrupt:
        sys.stderr.write("Stopped; what this start had started is ended.\n")
        return int(ExitCode.SIGINT)


def build_parser() -> argparse.ArgumentParser:
    """The parser; the settings' values stay texts, which the loader reads."""
    parser = argparse.ArgumentParser(
        prog="./start.sh",
        description="Moves a Calibre library to a MyBookshelf2 server, unattended: "
        "starts the monitor, which starts "
        "the workers, keeps them going and ends when everything is accounted for.",
        epilog="examples:\n  ./start.sh --demo\n  ./start.sh --library ~/Calibre\n"
        "  MBS2_PASSWORD=… ./start.sh --library ~/Calibre --server http://nas:6006 --workers 4\n\n"
        "exit status: 0 the monitor runs (--demo, --foreground: everything is "
        "accounted for); 2 wrong usage, or a "
        "monitor is running already; 3 the server does not answer or refuses the "
        "login; 4 the library cannot be read; "
        "5 the state directory cannot be written; 8 --demo: something stands on the "
        "server that should not; 130 Ctrl-C",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument(
        "--demo",
        action="store_true",
        help="move the shipped demo library to the embedded server; all in demo/state/",
    )
    add_options(parser, StartSettings)
    parser.add_argument(
        "--llm-enabled",
        action="store_true",
        help="let the monitor ask an LLM for root causes and apply its fixes; "
        "OPENAI_API_KEY is in auto_monitor/.env",
    )
    parser.add_argument(
        "--adopt-library",
        action="store_true",
        help="go on although Calibre has restored the library, which gives it a new "
        "id; only when its books are the "
        "same",
    )
    parser.add_argument(
        "--no-dashboard",
        action="store_true",
        help="do not serve the page on DASHBOARD_HOST:DASHBOARD_PORT",
    )
    mode = parser.add_mutually_exclusive_group()
    mode.add_argument(
        "--dry-run",
        action="store_true",
        help="observe, and say what the monitor would do",
    )
    mode.add_argument(
        "--foreground",
        action="store_true",
        help="run the monitor in the foreground (systemd, containers)",
    )
    mode.add_argument(
        "--no-monitor",
        action="store_true",
        help="start the workers only; nobody restarts them",
    )
    return parser


def _job(argv: Sequence[str], console: Console, undo: ExitStack) -> tuple[Job, Mode]:
    parser = build_parser()
    argcomplete.autocomplete(parser)
    given = parser.parse_args(argv)
    values, found = read_settings(given, StartSettings)
    # What others would refuse is refused before anything is started for them.
    check(found, MonitorSettings, WorkerSettings, Capacity)
    of_monitor = load(MonitorSettings, found)
    check_together(of_monitor)
    if given.llm_enabled:
        require_llm_key(of_monitor)
    if given.adopt_library and (given.demo or given.dry_run):
        parser.error(
            "--adopt-library starts a migration: leave out --demo and --dry-run"
        )
    if given.demo:
        if found.given("STATE_DIR"):
            parser.error(
                "--demo keeps everything in demo/state/: leave out --state-dir"
            )
        return _demo(given, values, found, undo), Mode.DEMO
    if values.library is None:
        parser.error("name your library: --library DIR (or try it with --demo)")
    say = partial(console.print, markup=False, highlight=False, soft_wrap=True)
    return _migration(given, values, found, say, undo), _mode(given)


def _demo(
    given: argparse.Namespace, values: StartSettings, found: Sources, undo: ExitStack
) -> Job:
    """The demo library, to an embedded server of its own."""
    state_dir = DEMO / "state"
    state.prepare(state_dir, PROJECT)
    around = environment_for(found, Capacity)
    url, login, file = embedded_server(state_dir / "bookshelf", around, undo)
    interval = found.find("CHECK_INTERVAL_SECONDS") or ("2",)
    return Job(
        library=DEMO / "library",
        state_dir=state_dir,
        server=url,
        login=login,
        login_file=file,
        workers=2,
        workers_given=True,
        settings={"BATCH_SIZE": "8", "CHECK_INTERVAL_SECONDS": interval[0]},
        values=values,
        found=found,
        llm_enabled=given.llm_enabled,
        dashboard=not given.no_dashboard,
    )


def _migration(
    given: argparse.Namespace,
    values: StartSettings,
    found: Sources,
    say: Callable[[str], None],
    undo: ExitStack,
) -> Job:
    """A library of somebody's, to the server that was named or else an embedded one."""
    library = (values.library or Path()).resolve()
    if not (library / "metadata.db").is_file():
        raise Misconfigured(
            f"{library} has no metadata.db; name the folder of a Calibre library"
        )
    chosen = state.choose(values, library, found.texts(), PROJECT, say)
    warning = state.prepare(chosen.state_dir, PROJECT)
    if warning:
        say(warning)
    if values.server:
        # As its ledger spells it, which knows no other spelling.
        url = (chosen.place and chosen.place.server_url) or values.server
        login, file = found.handed_on(User, Engine, Database), None
    else:
        around = environment_for(found, Capacity) | found.handed_on(User)
        url, login, file = embedded_server(chosen.state_dir / "bookshelf", around, undo)
    return Job(
        library=library,
        state_dir=chosen.state_dir,
        server=url,
        login=login,
        login_file=file,
        workers=values.workers,
        workers_given=found.given("TARGET_WORKER_COUNT"),
        settings={},
        values=values,
        found=found,
        llm_enabled=given.llm_enabled,
        dashboard=not given.no_dashboard,
        adopt_library=given.adopt_library,
        state_dir_named=values.state_dir is not None,
    )


def _mode(given: argparse.Namespace) -> Mode:
    chosen = {
        Mode.DRY_RUN: given.dry_run,
        Mode.FOREGROUND: given.foreground,
        Mode.NO_MONITOR: given.no_monitor,
    }
    return next((mode for mode, wanted in chosen.items() if wanted), Mode.DAEMON)


def _run(job: Job, mode: Mode, console: Console, undo: ExitStack) -> int:
    watching = processes.monitor(job.state_dir)
    if watching:
        raise AlreadyWatched(
            f"a monitor is already running (pid {watching.pid}) on {job.state_dir}; "
            f"./stop.sh{job.option} ends it"
        )
    if mode is Mode.DRY_RUN:
        return _become_monitor(job, "--dry-run")
    if not _running_workers(job.state_dir):
        opened = _open_pass(job)
        if opened:
            return opened
    elif job.adopt_library:
        raise Refused(
            f"workers are running on {job.state_dir}; ./stop.sh{job.option} ends "
            "them, then --adopt-library"
        )
    if mode is not Mode.DEMO:
        _leave_traces(job, console)
    _serve_page(job, console, undo)
    if mode is Mode.NO_MONITOR:
        return _start_workers(job, console, undo)
    if mode is Mode.FOREGROUND:
        return _become_monitor(job, "--stop-workers")
    daemon = _start_monitor(job, undo)
    if mode is Mode.DEMO:
        return _watch_demo(job, daemon, console)
    console.print(
        f"The monitor runs (pid {daemon.pid}) and keeps {job.workers} workers at it. "
        "Follow it with\n"
        f"  tail -f {shlex.quote(str(job.state_dir / 'monitor.log'))}\n"
        f"  ./.venv/bin/python auto_monitor/monitor.py --status --watch{job.option}\n"
        f"and end everything with ./stop.sh{job.option}; the next ./start.sh goes on.",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )
    _say_where(job, console)
    return 0


def _leave_traces(job: Job, console: Console) -> None:
    server = (
        state_dir.EMBEDDED if job.embedded else state_dir.canonical_server(job.server)
    )
    use = state.use_of(job.state_dir, job.library, server, utc_now())
    checkout = PROJECT if job.values.checkout_links else None
    texts = job.found.texts()
    for text in state.leave_traces(use, job.workers, texts, checkout):
        console.print(text, markup=False, highlight=False, soft_wrap=True)


def _serve_page(job: Job, console: Console, undo: ExitStack) -> None:
    """Starts the dashboard and prints a link to it; without one the migration goes on
    all the same."""
    if not job.dashboard:
        return
    if not board.runs(job.state_dir):
        undo.callback(_stop_page, job.state_dir)
    around = environment_for(job.found, DashboardSettings)
    try:
        any_port = job.found.find("DASHBOARD_PORT") is None
        link = board.link(job.state_dir, around, any_port=any_port)
    except (board.NoDashboard, OSError, subprocess.SubprocessError) as error:
        console.print(
            f"There is no page to watch: {told(error)}",
            markup=False,
            highlight=False,
            soft_wrap=True,
        )
        return
    console.print(
        f"Watch it on\n  {link}\n(works once; for another: ./.venv/bin/python -m "
        f"dashboard --link{job.option})",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def _stop_page(state_dir: Path) -> None:
    shown = processes.dashboard(state_dir)
    stop([shown[0]] if shown else [])


def _open_pass(job: Job) -> int:
    """Checks library, server, login and state directory, opens a pass; says what is
    wrong; returns its status."""
    adopt = ["--adopt-library"] if job.adopt_library else []
    child = subprocess.Popen(
        [*_worker_command(job, 1), "--open-pass", *adopt],
        env={"START_SECONDS": CHECK_SECONDS, **_surroundings(job)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        said = _hear_out(child, job).strip().splitlines()
    except KeyboardInterrupt:
        child.terminate()
        child.communicate()
        return int(ExitCode.SIGINT)
    if child.returncode:
        sys.stderr.write(f"{said[-1] if said else 'The worker said nothing'}\n")
    return child.returncode


def _hear_out(child: "subprocess.Popen[str]", job: Job) -> str:
    """What the worker that opens the pass said by its end; tells meanwhile what it
    waits for. Raises Refused."""
    seconds = job.values.library_lock_seconds + OPEN_SECONDS
    deadline, told = time.monotonic() + seconds, ""
    while time.monotonic() < deadline:
        try:
            return child.communicate(timeout=1.0)[1]
        except subprocess.TimeoutExpired:
            seen = progress.read(progress.progress_path(job.state_dir, 1))
        if seen is None or seen.pid != child.pid or seen.status is not Phase.WAITING:
            continue
        sentence = seen.last_error.message if seen.last_error else ""
        if sentence not in ("", told):
            told = sentence
            sys.stdout.write(f"{sentence}\n")
            sys.stdout.flush()
    child.kill()
    child.communicate()
    raise Refused(
        f"library and server were not ready within {seconds:g} s; "
        f"{job.state_dir / 'migration_worker1.log'} "
        "says what it waits for",
        # Whoever starts this unattended tries again: a locked library has ended the
        # worker with 4 by now.
        ExitCode.SERVER,
    )


def _worker_command(job: Job, number: int) -> list[str]:
    return [
        sys.executable,
        str(PROJECT / "bulk_migrate_calibre.py"),
        str(job.library),
        "--server",
        job.server,
        "--worker-id",
        str(number),
        "--state-dir",
        str(job.state_dir),
    ]


def _surroundings(job: Job) -> dict[str, str]:
    """The environment of monitor and workers: secrets travel there, never on a command
    line."""
    return {
        **environment_for(job.found, MonitorSettings, WorkerSettings),
        **job.settings,
        **job.login,
        "CALIBRE_LIBRARY": str(job.library),
        "MBS2_SERVER": job.server,
        "STATE_DIR": str(job.state_dir),
        "TARGET_WORKER_COUNT": str(job.workers),
        "PYTHONUNBUFFERED": "1",
    }


def _start_workers(job: Job, console: Console, undo: ExitStack) -> int:
    """--no-monitor: the workers alone."""
    command = Command(
        PROJECT / "bulk_migrate_calibre.py",
        job.library,
        job.server,
        job.state_dir,
        PROJECT,
        _surroundings(job),
    )
    supervisor = Workers(command, grace_seconds=STOP_SECONDS)
    for number in range(1, job.workers + 1):
        undo.callback(supervisor.stop, supervisor.start(number), number)
    console.print(
        f"{job.workers} workers run without a monitor: one that stops is not started again. "
        f"./stop.sh{job.option} ends them.",
        markup=False,
        soft_wrap=True,
    )
    _say_where(job, console)
    return 0


def _monitor_command(job: Job, *options: str) -> list[str]:
    llm = ["--llm-enabled"] if job.llm_enabled else []
    # Named now, the number counts more than the one an earlier monitor remembers.
    workers = ["--workers", str(job.workers)] if job.workers_given else []
    return [
        sys.executable,
        str(PROJECT / "auto_monitor" / "monitor.py"),
        *options,
        *workers,
        *llm,
    ]


def _become_monitor(job: Job, option: str) -> int:
    sys.stdout.flush()
    # The same process: under systemd it is the service, and speaks for it.
    service = {
        name: os.environ[name] for name in sd_notify.VARIABLES if name in os.environ
    }
    os.execve(  # noqa: S606
        sys.executable, _monitor_command(job, option), {**_surroundings(job), **service}
    )


def _start_monitor(job: Job, undo: ExitStack) -> "subprocess.Popen[bytes]":
    """The daemon, in a session of its own. Raises Refused with what it said when it
    does not come up."""
    output = job.state_dir / "monitor.out"
    undo.callback(
        _stop_migration,
        job.state_dir,
        [worker.pid for worker in _running_workers(job.state_dir)],
    )
    with output.open("wb") as said:
        child = subprocess.Popen(
            _monitor_command(job, "--quiet"),
            cwd=PROJECT,
            env=_surroundings(job),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
    try:
        if _comes_up(job, child):
            return child
    except BaseException:
        # Ctrl-C too: it has a session of its own and would not hear of it.
        end_child(child)
        raise
    end_child(child)
    last = output.read_text(errors="replace").strip().splitlines()
    raise Refused(
        f"the monitor did not start: {last[-1] if last else 'it said nothing'}"
    )


def _comes_up(job: Job, child: "subprocess.Popen[bytes]") -> bool:
    """Does the monitor watch, or has it found that there is nothing to watch?"""
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and child.poll() is None:
        watching = processes.monitor(job.state_dir)
        if watching is not None and watching.pid == child.pid:
            return True
        time.sleep(0.05)
    return child.poll() == 0


def _running_workers(state_dir: Path) -> list[processes.Recorded]:
    return processes.alive(processes.workers(state_dir))


def _stop_migration(state_dir: Path, others: Sequence[int]) -> None:
    """Ends the monitor, then its workers, in this order; not those that ran before."""
    watching = processes.monitor(state_dir)
    stop([watching] if watching else [])
    stop([worker for worker in _running_workers(state_dir) if worker.pid not in others])


def _watch_demo(job: Job, daemon: "subprocess.Popen[bytes]", console: Console) -> int:
    """Shows the progress until the monitor ends; Ctrl-C ends everything."""
    try:
        display.watch(job.state_dir, daemon, console)
    except KeyboardInterrupt:
        console.print("Stopping; the next start goes on from here.")
        return int(ExitCode.SIGINT)
    found = display.totals_of(job.state_dir)
    if found is not None:
        console.print(report.summary(found, utc_now()))
        page = job.state_dir / "report" / "report.html"
        console.print(
            f"The report is in {page}", markup=False, highlight=False, soft_wrap=True
        )
    if daemon.returncode or found is None or found.closed_at is None:
        sys.stderr.write(
            f"The demo did not come to its end; see {job.state_dir / 'monitor.log'}\n"
        )
        return daemon.returncode or int(ExitCode.PENDING)
    _say_where(job, console)
    if found.differences:
        sys.stderr.write(
            "Something stands on the server that should not: the workers' logs in "
            f"{job.state_dir} name it\n"
        )
        return int(ExitCode.DIFFERENCE)
    return 0


def _say_where(job: Job, console: Console) -> None:
    console.print(
        f"The books can be looked at on {job.server}", markup=False, soft_wrap=True
    )
    if job.login_file is not None:
        console.print(
            f"The login is in {job.login_file}; the server runs until ./stop.sh{job.option}",
            markup=False,
            soft_wrap=True,
        )


if __name__ == "__main__":
    sys.exit(main())
