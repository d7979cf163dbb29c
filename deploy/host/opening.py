"""Before anything is started: library and server are checked, and a pass is opened, by a
worker."""

import subprocess
import sys
import time

from deploy.host.children import CannotStart
from deploy.host.job import Job, environment_of, worker_command
from migration.errors import ExitCode
from migration.model import Phase
from migration.state_files import progress

#: Seconds to wait for a real server before saying that it does not answer.
CHECK_SECONDS = "15"
#: Seconds for everything that is checked before the monitor starts, besides what the
#: worker waits for Calibre.
OPEN_SECONDS = 30.0


def open_pass(job: Job) -> int:
    """Checks library, server, login and state directory, opens a pass; says what is
    wrong; returns its status."""
    adopt = ["--adopt-library"] if job.adopt_library else []
    child = subprocess.Popen(
        [*worker_command(job, 1), "--open-pass", *adopt],
        env={"START_SECONDS": CHECK_SECONDS, **environment_of(job)},
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
    waits for. Raises CannotStart."""
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
    raise CannotStart(
        f"library and server were not ready within {seconds:g} s; "
        f"{job.state_dir / 'migration_worker1.log'} "
        "says what it waits for",
        # Whoever starts this unattended tries again: a locked library has ended the
        # worker with 4 by now.
        ExitCode.SERVER,
    )
