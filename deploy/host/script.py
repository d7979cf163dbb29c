"""Has the worker script of this version in its place before anything runs it."""

from rich.console import Console

from auto_monitor.cli.command_line import chosen_script
from auto_monitor.repair.upgrade import Place, ReleaseMissing, settle
from common.clock import utc_now
from common.files.system_errors import reason_of
from deploy.host.children import CannotStart
from deploy.host.display import say
from deploy.host.job import SCRIPT, Job


class ScriptUnusable(CannotStart):
    """The worker script is of another version, and cannot be replaced by this one's."""

    code = "worker-script-unusable"


def place_script(job: Job, console: Console) -> None:
    """Replaces a code fix of an earlier version by this version's script; says so.

    The monitor tells it, too, and alerts. Raises ScriptUnusable, StateUnwritable or
    OutOfResources.
    """
    place = Place(chosen_script(job.found, job.state_dir), SCRIPT, job.state_dir)
    try:
        said = settle(place, utc_now())
    except ReleaseMissing as error:
        raise ScriptUnusable(str(error)) from None
    except OSError as error:
        raise ScriptUnusable(
            f"{place.script} is of another version and cannot be replaced: "
            f"{reason_of(error)}"
        ) from None
    if said:
        say(console, said)
