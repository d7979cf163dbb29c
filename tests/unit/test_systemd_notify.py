"""What is told to systemd, and when: a real socket, a clock that is handed in."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from systemd_notify import Notifier


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[socket.socket]:
    """A service manager's socket."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as line:
        line.bind(str(tmp_path / "notify"))
        line.setblocking(False)
        yield line


def heard(manager: socket.socket) -> list[str]:
    """Everything that was said so far."""
    said = []
    while True:
        try:
            said.append(manager.recv(4096).decode())
        except BlockingIOError:
            return said


def test_a_service_from_its_start_to_its_end(manager: socket.socket) -> None:
    """A sign of life at most twice in a period; a status only when it has changed."""
    now = [100.0]
    service = Notifier(str(manager.getsockname()), 10.0, lambda: now[0])
    service.ready()
    for second in range(12):
        now[0] = 100.0 + second
        service.alive()
    for text in ("3 workers", "3\n workers", "2 workers"):
        service.status(text)
    service.stopping()
    assert heard(manager) == [
        "READY=1", "WATCHDOG=1", "WATCHDOG=1", "WATCHDOG=1", "STATUS=3 workers", "STATUS=2 workers", "STOPPING=1",
    ]  # fmt: skip


ENVIRONMENTS = [
    ({}, None),
    ({"NOTIFY_SOCKET": "/run/x"}, None),
    ({"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "20000000"}, 2.0),
    ({"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "20000000", "WATCHDOG_PID": "7"}, 2.0),
    ({"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "20000000", "WATCHDOG_PID": "8"}, None),
    ({"NOTIFY_SOCKET": "/run/x", "WATCHDOG_USEC": "soon"}, None),
    ({"NOTIFY_SOCKET": "relative", "WATCHDOG_USEC": "20000000"}, None),
]


@pytest.mark.parametrize(("given", "looks"), ENVIRONMENTS)
def test_what_the_environment_says(given: dict[str, str], looks: float | None) -> None:
    """Its variables are taken out, so that no child process gets them."""
    environment = {**given, "PATH": "/bin"}
    assert Notifier.taken_from(environment, 7).look_seconds == looks
    assert environment == {"PATH": "/bin"}


def test_nobody_listens(tmp_path: Path) -> None:
    """A service is no worse for it."""
    service = Notifier(str(tmp_path / "nobody"), 1.0)
    service.ready()
    service.alive()
    service.stopping()
