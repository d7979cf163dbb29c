"""Keeps the program of a container running, as long as a new start can help.

Docker's restart policies know failed and not failed. Ours knows why: an absent server is
tried again, a wrong setting is not. So Docker restarts no container that can end by
itself, and where it would (after a reboot), the container stays until it is stopped.
"""

import argparse
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from types import FrameType
from typing import TypeVar

from common.settings.command_line import read_settings
from common.settings.load import Source, Sources, read
from common.settings.programs import KeepSettings
from deploy import PROJECT
from migration.errors import ExitCode

S = TypeVar("S", bound=KeepSettings)

#: Statuses after which a new start would end the same way, or do what nobody asked for.
FINAL = frozenset(
    {
        ExitCode.OK,
        ExitCode.USAGE,
        ExitCode.LIBRARY,
        ExitCode.STATE,
        # The time limit that the user has set.
        ExitCode.PENDING,
        ExitCode.TAKEN,
        ExitCode.DIFFERENCE,
    }
)
#: Docker's restart policy that starts nothing again.
NO_RESTARTS = "no"


class Next(Enum):
    """What follows the end of a program."""

    END = "the container ends with its status"
    AGAIN = "it is started again"
    HOLD = "the container stays, since Docker would start it again"


def after(status: int, policy: str, *, asked: bool) -> Next:
    """Decides. Pure; `asked` says that the container is being stopped."""
    if asked:
        return Next.END
    if status not in FINAL:
        return Next.AGAIN
    # Docker's `unless-stopped` starts a program again that has done its part.
    return Next.END if policy == NO_RESTARTS or status == 0 else Next.HOLD


@dataclass
class Stop:
    """The request to end, by SIGTERM or SIGINT, passed on to the running program."""

    numbers: list[int] = field(default_factory=list)
    _child: "subprocess.Popen[bytes] | None" = None
    _asked: threading.Event = field(default_factory=threading.Event)

    @classmethod
    def on_signals(cls) -> "Stop":
        """Listens from now on."""
        made = cls()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, made.handle)
        return made

    def handle(self, number: int, _frame: FrameType | None) -> None:
        """The signal handler."""
        self.numbers.append(number)
        self._asked.set()
        if self._child is not None:
            self._child.send_signal(signal.SIGTERM)

    @property
    def asked(self) -> bool:
        """Whether the container is being stopped."""
        return bool(self.numbers)

    def run(self, command: Sequence[str], environment: Mapping[str, str]) -> int:
        """Runs the program to its end; returns its status, 128 + N after signal N."""
        self._child = subprocess.Popen(command, cwd=PROJECT, env=dict(environment))
        if self.asked:
            # It came before there was a child to pass it on to.
            self._child.send_signal(signal.SIGTERM)
        status = self._child.wait()
        self._child = None
        return status if status >= 0 else 128 - status

    def wait(self, seconds: float | None = None) -> None:
        """Waits for the request, or so long."""
        self._asked.wait(seconds)


def keep(
    command: Sequence[str],
    environment: Mapping[str, str],
    values: KeepSettings,
    stop: Stop,
) -> int:
    """Runs a program until it has come to an end that lasts; returns the exit status.

    128 + N when it was stopped by signal N before it had done its part, so that a
    stopped migration is told from a finished one.
    """
    while True:
        status = stop.run(command, environment)
        match after(status, values.restart_policy, asked=stop.asked):
            case Next.END:
                return 128 + stop.numbers[0] if stop.asked and status == 0 else status
            case Next.HOLD:
                return hold(status, values.restart_policy, stop)
        say(
            f"It ended with status {status} and is started again in "
            f"{values.restart_seconds:g} s"
        )
        stop.wait(values.restart_seconds)
        if stop.asked:
            return 128 + stop.numbers[0]


def read_or_stay(
    given: argparse.Namespace, model: type[S], stop: Stop
) -> tuple[S, Sources]:
    """The settings, and where they are from. Ends the process when one is wrong, with 2;
    where Docker would start it again, not before the container is stopped."""
    try:
        return read_settings(given, model)
    except SystemExit:
        around = Sources(Source("the environment", dict(os.environ)))
        policy = read(KeepSettings, around)[0].restart_policy
        if after(ExitCode.USAGE, policy, asked=stop.asked) is Next.HOLD:
            hold(ExitCode.USAGE, policy, stop)
        raise


def refuse(sentence: str, status: int, values: KeepSettings, stop: Stop) -> int:
    """Says why nothing is started; returns the exit status."""
    say(sentence)
    if after(status, values.restart_policy, asked=False) is Next.HOLD:
        return hold(status, values.restart_policy, stop)
    return status


def hold(status: int, policy: str, stop: Stop) -> int:
    """Stays until the container is stopped; returns the status."""
    say(
        f"Status {status}: another start would end the same way. Nothing is running; this "
        f"container only stays because Docker would start it again ({policy}). When the "
        "reason is mended: docker compose up -d --force-recreate"
    )
    stop.wait()
    return status


def say(sentence: str) -> None:
    """To the container's log."""
    sys.stderr.write(f"{sentence}\n")
    sys.stderr.flush()
