"""What `./start.sh` is to run, and what the programs it starts need for that."""

import sys
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from common import state_dir
from common.settings.programs import StartSettings
from deploy import PROJECT
from deploy.host.children import clean_environment

SCRIPT = PROJECT / "bulk_migrate_calibre.py"


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be run."""

    library: Path
    state_dir: Path
    server: str
    login: dict[str, str]
    login_file: Path | None
    workers: int
    workers_given: bool
    settings: dict[str, str]
    llm_enabled: bool = False
    dashboard: bool = True
    adopt_library: bool = False
    #: The state directory was named: it is not found without its name.
    state_dir_named: bool = False
    #: How long the library is waited for while Calibre has it locked.
    lock_seconds: float = StartSettings.library_lock_seconds

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


def worker_command(job: Job, number: int) -> list[str]:
    """The command line of a worker."""
    return [
        sys.executable,
        str(SCRIPT),
        str(job.library),
        "--server",
        job.server,
        "--worker-id",
        str(number),
        "--state-dir",
        str(job.state_dir),
    ]


def environment_of(job: Job) -> dict[str, str]:
    """The environment of monitor and workers: secrets travel there, never on a command
    line."""
    return {
        **clean_environment(),
        **job.settings,
        **job.login,
        "CALIBRE_LIBRARY": str(job.library),
        "MBS2_SERVER": job.server,
        "STATE_DIR": str(job.state_dir),
        "TARGET_WORKER_COUNT": str(job.workers),
        "PYTHONUNBUFFERED": "1",
    }
