"""Reports a service's state to systemd (sd_notify): ready, alive, status, stopping.

Without systemd nothing happens. Shared by the monitor and the embedded server, which
may not know each other, so it imports nothing of the project. It is our own code
because the libraries do not fit: sdnotify has not been maintained since 2017;
systemd-watchdog uses a clock that can be set, waits for a service manager that hangs,
and cannot send STOPPING; cysystemd brings 6 MB of C libraries.
"""

import socket
import time
from collections.abc import Callable, Mapping, MutableMapping
from pathlib import Path

#: What systemd puts into a service's environment.
VARIABLES = ("NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID")
#: Set by our units: the file that systemd reads a service's settings from, if it is there.
SETTINGS_FILE = "SERVICE_SETTINGS_FILE"
#: The code of the error that such a file is missing, or says too little.
NO_SETTINGS = "service-settings-missing"
#: A loop checks this many times in a watchdog's period whether a sign of life is due.
_LOOKS = 10


def settings_objection(environment: Mapping[str, str], wanted: str) -> str:
    """Returns why a service without the variable `wanted` cannot run; "" if it is none.

    Names the file: systemd itself says nothing that a person understands when it is
    missing, and would start the service over and over.
    """
    path = environment.get(SETTINGS_FILE, "")
    if not path:
        return ""
    if Path(path).exists():
        return (
            f"{wanted} is not set in {path}: set it there, and start the service again"
        )
    return (
        f"there is no {path}, the settings of this service: make it (docs/deployment.md: "
        f'"On a plain host with systemd"), set {wanted} in it, and start the service '
        "again"
    )


class Notifier:
    """One service's connection to systemd.

    Nothing here blocks or fails: a service must not suffer from a service manager that
    does not listen.
    """

    def __init__(
        self,
        address: str = "",
        watchdog_seconds: float | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`address` is a path, or `@` and the name of an abstract socket.

        Others are ignored.
        """
        self._address = (
            "\0" + address[1:]
            if address.startswith("@")
            else address
            if address.startswith("/")
            else ""
        )
        self._watchdog = watchdog_seconds if self._address else None
        self._clock = clock
        self._alive_at: float | None = None
        self._status = ""

    @classmethod
    def taken_from(cls, environment: MutableMapping[str, str], pid: int) -> "Notifier":
        """Makes a notifier from the environment.

        Removes the variables, so that child processes do not get them.
        """
        address, period, owner = (environment.pop(name, "") for name in VARIABLES)
        ours = (
            owner in ("", str(pid))
            and period.isascii()
            and period.isdigit()
            and int(period) > 0
        )
        return cls(address, int(period) / 1e6 if ours else None)

    @property
    def look_seconds(self) -> float | None:
        """Seconds between calls of `alive`; None when systemd does not expect any."""
        return None if self._watchdog is None else self._watchdog / _LOOKS

    def ready(self) -> None:
        """Reports that the service is doing its work."""
        self._send("READY=1")

    def alive(self) -> None:
        """Reports a sign of life, at most twice in a period.

        It must be called by the loop that does the work, and by nothing else.
        """
        if self._watchdog is None:
            return
        now = self._clock()
        due = self._alive_at is None or now - self._alive_at >= self._watchdog / 2
        # A message that was not accepted is sent again at the next call.
        if due and self._send("WATCHDOG=1"):
            self._alive_at = now

    def status(self, text: str) -> None:
        """Sets the line for `systemctl status`; sent when it has changed."""
        line = " ".join(text.split())
        if line != self._status and self._send(f"STATUS={line}"):
            self._status = line

    def stopping(self) -> None:
        """Reports that the service is about to end by itself."""
        self._send("STOPPING=1")

    def _send(self, message: str) -> bool:
        if not self._address:
            return False
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
                line.setblocking(False)
                line.sendto(message.encode("utf-8", "replace"), self._address)
        except OSError:
            return False
        return True
