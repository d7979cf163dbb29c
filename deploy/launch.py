"""`./start.sh`: checks library and server, opens a pass, starts the monitor.

The monitor starts the workers.
"""

import shlex
import subprocess
import sys
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from rich.console import Console

from auto_monitor.config import Misconfigured
from auto_monitor.processes import Workers
from common import state_dir
from common.clock import utc_now
from common.errors import told
from common.hints import hint
from common.settings.programs import DashboardSettings
from deploy import PROJECT
from deploy.host import board, display, interrupts, processes, state
from deploy.host.children import AlreadyWatched, CannotStart, environment_for
from deploy.host.display import say
from deploy.host.job import Job, Mode, worker_command
from deploy.host.monitor_process import become_monitor, running_workers, start_monitor
from deploy.host.opening import (
    become_dry_run,
    mark_of_library,
    open_pass,
    refuse_another_selection,
    with_selection,
)
from deploy.host.options import read_job
from deploy.host.script import place_script
from migration.errors import ExitCode, Fatal

#: Seconds a worker is given to end.
STOP_SECONDS = 10.0


def main() -> int:
    """Returns the exit status; see the epilog of --help.

    A start that fails, or that Ctrl-C ends, leaves nothing running that it has started.
    """
    interrupts.begin()
    with ExitStack() as undo:
        code = _start(undo)
        if code in (ExitCode.OK, ExitCode.DIFFERENCE):
            undo.pop_all()
    return code


def _start(undo: ExitStack) -> int:
    """Returns the exit status. From then on no signal interrupts this process."""
    try:
        code = _told(undo)
        interrupts.end()
    except interrupts.Interrupted as asked:
        sys.stderr.write("Stopped; what this start had started is ended.\n")
        return asked.status
    return code


def _told(undo: ExitStack) -> int:
    """Starts, and says why not."""
    try:
        console = Console()
        job, mode = read_job(sys.argv[1:], partial(say, console), undo)
        return _run(job, mode, console, undo)
    except Misconfigured as wrong:
        sys.stderr.write(f"{told(wrong)}\n")
        return int(ExitCode.USAGE)
    except (CannotStart, Fatal) as error:
        sys.stderr.write(f"{told(error)}\n")
        return int(error.exit_code)
    except OSError as error:
        parts = (error.filename and str(error.filename), error.strerror or str(error))
        sys.stderr.write(
            f"cannot start: {': '.join(filter(None, parts))}; the state directory "
            "must be on a disk with room, and writable\n"
        )
        return int(ExitCode.STATE)


def _run(job: Job, mode: Mode, console: Console, undo: ExitStack) -> int:
    if mode is Mode.DRY_RUN:
        become_dry_run(job)
    watching = processes.monitor(job.state_dir)
    if watching:
        raise AlreadyWatched(
            f"a monitor is already running (pid {watching.pid}) on {job.state_dir}; "
            f"{hint('stop', state_dir=job.state_dir)} ends it"
        )
    place_script(job, console)
    job, mark, code = _with_pass(job, mode, console)
    if code:
        return code
    if mode is not Mode.DEMO:
        _leave_traces(job, console)
    _serve_page(job, console, undo)
    if mode is Mode.NO_MONITOR:
        return _start_workers(job, console, undo)
    if mode is Mode.FOREGROUND:
        return become_monitor(job, "--stop-workers", *mark)
    daemon = start_monitor(job, undo, *mark)
    if mode is Mode.DEMO:
        return _watch_demo(job, daemon, console)
    stays = " It stays, and migrates what changes in the library." if job.watch else ""
    say(
        console,
        f"The monitor runs (pid {daemon.pid}) and keeps {_workers(job)} at it."
        f"{stays} Follow it with\n"
        f"  tail -f {shlex.quote(str(job.state_dir / 'monitor.log'))}\n"
        f"  {hint('status', '--watch', state_dir=job.state_dir)}\n"
        f"and end everything with\n  {hint('stop', state_dir=job.state_dir)}\n"
        f"{hint('start', state_dir=job.state_dir)} goes on then.",
    )
    _say_where(job, console)
    return 0


def _with_pass(
    job: Job, mode: Mode, console: Console
) -> tuple[Job, tuple[str, ...], int]:
    """Has a pass opened when one is needed.

    Returns the job with the pass's selection, the monitor's option that says with what
    library it began, and the status of a worker that could not open one.
    """
    refuse_another_selection(job)
    mark: tuple[str, ...] = ()
    if _needs_pass(job, mode):
        # Before the pass: what is changed while it is opened belongs to the next.
        mark = mark_of_library(job)
        if code := open_pass(job):
            return job, (), code
    selected, about = with_selection(job)
    if about:
        say(console, about)
    # The next passes of a monitor that stays are about what is asked for now.
    return job if job.watch else selected, mark, 0


def _needs_pass(job: Job, mode: Mode) -> bool:
    """Whether a pass is to be opened here, or joined: not while workers are at one.

    A service that watches a library comes up again in whatever state library and server
    are after a reboot: the monitor waits for them, and opens a pass when there is
    reason to. A person at a terminal is told.
    """
    asked = {"--rebind": job.rebind, "--adopt-library": job.adopt_library}
    changes = next((option for option, given in asked.items() if given), "")
    if running_workers(job.state_dir):
        if changes:
            raise CannotStart(
                f"workers are running on {job.state_dir}; "
                f"{hint('stop', state_dir=job.state_dir)} ends them, then {changes}"
            )
        return False
    known = job.has_ledger and not changes
    return not (job.watch and mode is Mode.FOREGROUND and known)


def _leave_traces(job: Job, console: Console) -> None:
    server = (
        state_dir.EMBEDDED if job.embedded else state_dir.canonical_server(job.server)
    )
    use = state.use_of(job.state_dir, job.library, server, utc_now())
    checkout = PROJECT if job.values.checkout_links else None
    texts = job.found.texts()
    for text in state.leave_traces(use, job.workers, texts, checkout):
        say(console, text)


def _serve_page(job: Job, console: Console, undo: ExitStack) -> None:
    """Starts the dashboard and prints a link to it.

    The migration does not depend on it.
    """
    if not job.dashboard:
        return
    if not board.runs(job.state_dir):
        undo.callback(_stop_page, job.state_dir)
    around = environment_for(job.found, DashboardSettings)
    any_port = job.found.find("DASHBOARD_PORT") is None
    try:
        link = board.link(job.state_dir, around, any_port=any_port)
    except (board.NoDashboard, OSError, subprocess.SubprocessError) as error:
        say(console, f"There is no page to watch: {told(error)}")
        return
    say(
        console,
        f"Watch it on\n  {link}\n(works once; for another: "
        f"{hint('link', state_dir=job.state_dir)})",
    )


def _stop_page(state_dir: Path) -> None:
    shown = processes.dashboard(state_dir)
    processes.stop([shown and shown.process])


def _start_workers(job: Job, console: Console, undo: ExitStack) -> int:
    """Starts only the workers (--no-monitor)."""
    supervisor = Workers(worker_command(job), grace_seconds=STOP_SECONDS)
    for number in range(1, job.workers + 1):
        with interrupts.held():
            undo.callback(supervisor.stop, supervisor.start(number), number)
    say(
        console,
        f"Without a monitor: {_workers(job)}, and one that stops is not started again. "
        f"{hint('stop', state_dir=job.state_dir)} ends them.",
    )
    _say_where(job, console)
    return 0


def _watch_demo(job: Job, daemon: "subprocess.Popen[bytes]", console: Console) -> int:
    """Shows the progress until the monitor ends; Ctrl-C ends everything."""
    try:
        display.watch(job.state_dir, daemon, console)
    except interrupts.Interrupted as asked:
        say(console, "Stopping; the next start goes on from here.")
        return asked.status
    found = display.totals_of(job.state_dir)
    display.end(job.state_dir, console)
    if daemon.returncode or found is None or found.closed_at is None:
        sys.stderr.write(
            f"The demo did not come to its end; see {job.state_dir / 'monitor.log'}\n"
        )
        return daemon.returncode or int(ExitCode.PENDING)
    return int(ExitCode.DIFFERENCE if found.differences else ExitCode.OK)


def _workers(job: Job) -> str:
    return f"{job.workers} worker{'s' if job.workers > 1 else ''}"


def _say_where(job: Job, console: Console) -> None:
    say(console, f"The books can be looked at on {job.server}")
    if job.login_file is not None:
        say(
            console,
            f"The login is in {job.login_file}; the server runs until "
            f"{hint('stop', state_dir=job.state_dir)}",
        )


if __name__ == "__main__":
    sys.exit(main())
