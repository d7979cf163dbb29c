"""What a start gives the processes it starts, and how one is ended that does not come
up."""

import os
import subprocess

from common import sd_notify
from migration.errors import ExitCode


class CannotStart(Exception):
    """Cannot start, and why; `exit_code` is the exit status of the start."""

    def __init__(self, message: str, exit_code: ExitCode = ExitCode.USAGE) -> None:
        super().__init__(message)
        self.exit_code = exit_code


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
