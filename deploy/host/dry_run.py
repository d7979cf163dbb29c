"""`./start.sh --dry-run`: what a run would do, said by a worker that does nothing.

Nothing is started besides: no server, no pass, no monitor.
"""

import os
import sys
from typing import NoReturn

from deploy.host.job import SCRIPT, Job, environment_of


def become_dry_run(job: Job) -> NoReturn:
    """Replaces this process by the worker's dry run."""
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
