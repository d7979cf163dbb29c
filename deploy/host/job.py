"""The job of `./start.sh`, and what the programs it starts need for it."""

from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

from auto_monitor.config import check_together
from auto_monitor.processes import WorkerCommand
from common.settings.load import Sources, check, load
from common.settings.monitor import MonitorSettings
from common.settings.programs import Capacity, StartSettings
from common.settings.selecting import Selecting
from common.settings.setting import settings_of
from common.settings.worker import WorkerSettings
from deploy import PROJECT
from deploy.host.children import environment_for
from migration.state_files.names import LEDGER_NAME

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
    #: Of the monitor and the workers, whatever is said elsewhere.
    settings: dict[str, str]
    values: StartSettings
    found: Sources
    llm_enabled: bool = False
    dashboard: bool = True
    adopt_library: bool = False
    #: Whether the ledger follows its server to a new address.
    rebind: bool = False
    #: Whether --dry-run is for a program.
    as_json: bool = False
    #: Whether the monitor stays when a pass is closed.
    watch: bool = False

    @property
    def embedded(self) -> bool:
        """Whether the server is the embedded one."""
        return self.login_file is not None

    @property
    def has_ledger(self) -> bool:
        """Whether the state directory has seen this library before."""
        return (self.state_dir / LEDGER_NAME).exists()


class Mode(Enum):
    """How it is run."""

    DAEMON = "the monitor in the background"
    FOREGROUND = "the monitor in the foreground"
    DRY_RUN = "nothing: what a run would do is said"
    NO_MONITOR = "workers only"
    DEMO = "the demo, shown until it is done"


def worker_command(job: Job) -> WorkerCommand:
    """Returns how workers are started."""
    return WorkerCommand(
        SCRIPT, job.library, job.server, job.state_dir, PROJECT, environment_of(job)
    )


def check_for_all(found: Sources) -> MonitorSettings:
    """The monitor's settings. What a program would refuse is refused here, before
    anything is started for it: raises WrongSetting, Misconfigured."""
    check(found, MonitorSettings, WorkerSettings, Capacity)
    of_monitor = load(MonitorSettings, found)
    check_together(of_monitor)
    return of_monitor


def contradictory(values: StartSettings) -> str:
    """Returns why these settings are refused together, or ""."""
    return why_not_delete(values) or values.lane_refusal


def why_not_delete(values: StartSettings) -> str:
    """Returns why nothing may be deleted although it is asked for, or ""."""
    if values.delete_removed and values.watch:
        return (
            "--delete-removed does not go with --watch, which never deletes: start once "
            "without --watch"
        )
    return ""


@dataclass(frozen=True, slots=True)
class Workers:
    """How many workers run, whether they were asked for, and what the programs are told."""

    workers: int
    given: bool
    settings: dict[str, str]


def workers_of(values: StartSettings, found: Sources) -> Workers:
    """Returns how many workers run: one if only so many files are wanted.

    Each worker counts its own files; one of them makes it so many in all. Who names a
    number of workers gets them, and as many times the files.
    """
    if not values.limit or found.find("TARGET_WORKER_COUNT"):
        return Workers(values.workers, found.given("TARGET_WORKER_COUNT"), {})
    bounds = {"MIN_WORKER_COUNT": "1", "MAX_WORKER_COUNT": "1"}
    return Workers(1, True, bounds)


def without_selection(
    values: StartSettings, found: Sources
) -> tuple[StartSettings, dict[str, str]]:
    """Returns the settings of the demo, and what has to be said to its programs.

    What `.env` selects of a library elsewhere is not in the demo's; options count.
    """
    elsewhere = [one for one in settings_of(Selecting) if not found.given(one.variable)]
    return (
        replace(values, **{one.field: one.default for one in elsewhere}),
        {one.variable: "" for one in elsewhere},
    )


def environment_of(job: Job) -> dict[str, str]:
    """Returns the environment of monitor and workers.

    Secrets are passed there, never on a command line.
    """
    return {
        **environment_for(job.found, MonitorSettings, WorkerSettings),
        **job.settings,
        **job.login,
        "CALIBRE_LIBRARY": str(job.library),
        "MBS2_SERVER": job.server,
        "STATE_DIR": str(job.state_dir),
        "TARGET_WORKER_COUNT": str(job.workers),
        "WATCH": str(int(job.watch)),
        "PYTHONUNBUFFERED": "1",
    }
