"""Has a worker check library and server and open a pass before anything else starts.

What is started then works on the selection of the open pass.
"""

import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import replace
from tempfile import TemporaryFile
from typing import NoReturn

from auto_monitor.act.opening import CHECK_SECONDS, OPEN_SECONDS
from auto_monitor.observe.library import seen_in
from common.clock import utc_now
from deploy.host.children import CannotStart, begun, last_words
from deploy.host.job import SCRIPT, Job, environment_of, worker_command
from migration.calibre.selection import asked
from migration.errors import ExitCode
from migration.ledger import totals
from migration.model import Phase
from migration.state_files import progress
from migration.state_files.names import LEDGER_NAME
from migration.worker.selecting import of_scope, refuse_another


def open_pass(job: Job) -> int:
    """Checks library, server, login and state directory, and opens a pass.

    Prints what is wrong; returns the status of the worker that does it.
    """
    wishes = {"--adopt-library": job.adopt_library, "--rebind": job.rebind}
    wanted = [option for option, is_so in wishes.items() if is_so]
    command = [*worker_command(job).opening_line(), *wanted]
    around = {"START_SECONDS": CHECK_SECONDS, **environment_of(job)}
    with (
        TemporaryFile() as errors,
        begun(command, around, subprocess.DEVNULL, errors) as child,
    ):
        _hear_out(child, job)
        errors.seek(0)
        said = last_words(errors.read())
    if child.returncode:
        sys.stderr.write(f"{said or 'The worker said nothing'}\n")
    return child.returncode


def mark_of_library(job: Job) -> tuple[str, ...]:
    """The option that tells the monitor what the library was when the pass was opened.

    Not for a pass that is open already: what it was then is not known here.
    """
    if not job.watch or _open_pass(job) is not None:
        return ()
    return ("--library-mark", seen_in(job.library).mark)


def refuse_another_selection(job: Job) -> None:
    """Raises AnotherSelection when a pass is open with another one than is asked for.

    The worker that opens a pass does so too; but with workers running none is asked.
    """
    found = _open_pass(job)
    wanted = asked(job.values, utc_now())
    if found is not None and wanted:
        refuse_another(wanted, of_scope(found.scope), found.pass_id)


def with_selection(job: Job) -> tuple[Job, str]:
    """Returns the job with the open pass's selection, and a sentence about it.

    Should the ledger be lost, a worker opens a pass about the same books and not about
    the whole library. A monitor that stays opens further passes: those are about what
    was asked for.
    """
    found = _open_pass(job)
    if found is None or found.scope is None:
        return job, ""
    theirs = of_scope(found.scope)
    goes_on = "" if asked(job.values, utc_now()) else ", with which it goes on"
    kept = {} if job.watch else theirs.variables()
    return (
        replace(job, settings={**job.settings, **kept}),
        f"Pass {found.pass_id} has a {found.scope}{goes_on}.",
    )


def _open_pass(job: Job) -> totals.Totals | None:
    with suppress(*totals.UNREADABLE):
        found = totals.read(job.state_dir / LEDGER_NAME)
        return None if found is None or found.closed_at is not None else found
    return None


def _hear_out(child: "subprocess.Popen[bytes]", job: Job) -> None:
    """Waits for the worker that opens the pass. Raises CannotStart.

    Prints meanwhile what it waits for.
    """
    seconds = job.values.library_lock_seconds + OPEN_SECONDS
    deadline, told = time.monotonic() + seconds, ""
    while time.monotonic() < deadline:
        try:
            child.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            seen = progress.read(progress.progress_path(job.state_dir, 1))
        else:
            return
        if seen is None or seen.pid != child.pid or seen.status is not Phase.WAITING:
            continue
        sentence = seen.last_error.message if seen.last_error else ""
        if sentence not in ("", told):
            told = sentence
            sys.stdout.write(f"{sentence}\n")
            sys.stdout.flush()
    raise CannotStart(
        f"library and server were not ready within {seconds:g} s; "
        f"{job.state_dir / 'migration_worker1.log'} "
        "says what it waits for",
        # An unattended start tries again after this status: a locked library has ended
        # the worker with 4 by now.
        ExitCode.SERVER,
    )


def become_dry_run(job: Job) -> NoReturn:
    """Replaces this process by a worker that says what a run would do.

    Nothing is started besides: no server, no pass, no monitor.
    """
    sys.stdout.flush()
    command = [
        sys.executable,
        str(SCRIPT),
        str(job.library),
        "--dry-run",
        "--state-dir",
        str(job.state_dir),
        *(["--json"] if job.as_json else []),
    ]
    os.execve(sys.executable, command, environment_of(job))  # noqa: S606
