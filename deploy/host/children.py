"""What a start gives the processes it starts, and how one is ended that does not come
up."""

import os
import subprocess

from common import sd_notify
from common.errors import CodedError
from migration.errors import ExitCode


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


def clean_environment() -> dict[str, str]:
    """The environment without settings that belong to another server or library, and
    without systemd's."""
    ours = (
        "MBS2_",
        "BOOKSHELF_",
        "CALIBRE_LIBRARY",
        "STATE_DIR",
        "WORKER_ID",
        *sd_notify.VARIABLES,
    )
    return {key: value for key, value in os.environ.items() if not key.startswith(ours)}


def end_child(child: "subprocess.Popen[bytes]", seconds: float = 10.0) -> None:
    """Ends a process that was started a moment ago and is not wanted after all."""
    child.terminate()
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait(seconds)
