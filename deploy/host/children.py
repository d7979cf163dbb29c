"""What a start gives the processes it starts, and how one is ended that does not come
up."""

import os
import subprocess

from common import sd_notify
from common.errors import CodedError
from common.settings.load import Sources
from common.settings.reference import PROGRAMS
from common.settings.setting import settings_of
from migration.errors import ExitCode

#: Settings of one server and its login: .env may hold those of another one.
_OF_A_SERVER = "MBS2_"


class CannotStart(CodedError):
    """Cannot start, and why; `exit_code` is the exit status of the start."""

    code = "start-refused"

    def __init__(self, message: str, exit_code: ExitCode = ExitCode.USAGE) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class AlreadyWatched(CannotStart):
    """A monitor runs on the state directory."""

    code = "monitor-running"


class LoginFileUnusable(CannotStart):
    """The login of the embedded server is gone, damaged or not ours to read."""

    code = "login-file-unusable"


class ServerNotStarted(CannotStart):
    """The embedded server ended, or does not listen."""

    code = "embedded-server-not-started"


def environment_for(found: Sources, *models: type) -> dict[str, str]:
    """The environment of a program with these models: all of its settings, wherever they
    are from, so that it need not read the files again.

    What is no setting of ours goes through as it is (PATH, a proxy), but for what systemd
    says to the starter. The server and its login are the starter's to add.
    """
    given = {**os.environ, **found.texts()}
    ours = {one.variable for model in PROGRAMS.values() for one in settings_of(model)}
    others = {name: text for name, text in given.items() if name not in ours}
    told = {**others, **found.handed_on(*models)}
    foreign = (_OF_A_SERVER, *sd_notify.VARIABLES)
    return {name: text for name, text in told.items() if not name.startswith(foreign)}


def end_child(child: "subprocess.Popen[bytes]", seconds: float = 10.0) -> None:
    """Ends a process that was started a moment ago and is not wanted after all."""
    child.terminate()
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait(seconds)
