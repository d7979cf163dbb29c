"""What a start refuses, and the environment and clean-up of its child processes."""

import os
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from auto_monitor.config import Misconfigured
from common import sd_notify
from common.errors import CodedError
from common.hints import CALLED_FROM
from common.settings.load import Sources
from common.settings.reference import PROGRAMS
from common.settings.secret_files import PLACES
from common.settings.setting import settings_of
from deploy import PROJECT
from deploy.host import interrupts
from migration.errors import ExitCode, LibraryUnreadable
from migration.state_files import logs

#: Settings of one server and its login: .env may hold those of another one.
_OF_A_SERVER = "MBS2_"
#: Seconds between two looks at a program that comes up.
LOOK_SECONDS = 0.05


class CannotStart(CodedError):
    """The start is refused; `exit_code` is its exit status."""

    code = "start-refused"

    def __init__(self, message: str, exit_code: ExitCode = ExitCode.USAGE) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class AlreadyWatched(CannotStart):
    """A monitor is already running on the state directory."""

    code = "monitor-running"


class NoServiceSettings(CannotStart):
    """A systemd service was started without its settings."""

    code = sd_notify.NO_SETTINGS


class ServerNotStarted(CannotStart):
    """The embedded server exited, or is not listening."""

    code = "embedded-server-not-started"


def environment_for(found: Sources, *models: type) -> dict[str, str]:
    """The environment of a program with these models: all of its settings, wherever they
    are from, so that it need not read the files again.

    What is no setting of ours goes through as it is (PATH, a proxy), but for what systemd
    says to the starter. The server and its login are the starter's to add.
    """
    given = {**os.environ, **found.texts()}
    ours = {one.variable for model in PROGRAMS.values() for one in settings_of(model)}
    ours |= PLACES
    others = {name: text for name, text in given.items() if name not in ours}
    told = {**others, **found.handed_on(*models)}
    # Paths are handed on as whole ones.
    foreign = (_OF_A_SERVER, *sd_notify.VARIABLES, CALLED_FROM)
    return {name: text for name, text in told.items() if not name.startswith(foreign)}


def checked_library(library: Path, *, waits: bool) -> Path:
    """Returns the library. Raises Misconfigured when it is none, LibraryUnreadable when
    this user cannot see whether it is; not for a start that waits for it."""
    try:
        found = waits or (library / "metadata.db").is_file()
    except OSError as error:
        raise LibraryUnreadable(
            f"{library} cannot be read by this user: {error.strerror}; give it read "
            "access, or start as the library's owner"
        ) from None
    if not found:
        raise Misconfigured(
            f"{library} has no metadata.db; name the folder of a Calibre library"
        )
    return library


def refuse_unset_service() -> None:
    """Raises NoServiceSettings when systemd has started this without a library."""
    if objection := sd_notify.settings_objection(os.environ, "CALIBRE_LIBRARY"):
        raise NoServiceSettings(objection)


@contextmanager
def begun(
    command: Sequence[str],
    environment: Mapping[str, str],
    output: IO[bytes] | int,
    errors: IO[bytes] | int = subprocess.STDOUT,
) -> "Iterator[subprocess.Popen[bytes]]":
    """Starts a program of ours in a session of its own, where no Ctrl-C reaches it.

    Ends it again when what is done inside, waiting for it to come up, fails or is
    interrupted.
    """
    with interrupts.held():
        child = subprocess.Popen(
            command,
            cwd=PROJECT,
            env=dict(environment),
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=errors,
            start_new_session=True,
        )
        try:
            with interrupts.let_in():
                yield child
        except BaseException:
            end_child(child)
            raise


def comes_up(
    child: "subprocess.Popen[bytes]", seconds: float, is_up: Callable[[], bool]
) -> bool:
    """Waits until a program that was just started is up; False when it ends before, or
    takes longer."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if is_up():
            return True
        if child.poll() is not None:
            return False
        time.sleep(LOOK_SECONDS)
    return False


def last_words(output: bytes) -> str:
    """Returns the last line of what a program has said, without its time and level."""
    lines = output.decode("utf-8", "replace").strip().splitlines()
    logged = logs.parse(lines[-1]) if lines else None
    return logged.message if logged else "".join(lines[-1:])


def end_child(child: "subprocess.Popen[bytes]", seconds: float = 10.0) -> None:
    """Ends a process that was just started and is not wanted after all."""
    child.terminate()
    try:
        child.wait(seconds)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait(seconds)
