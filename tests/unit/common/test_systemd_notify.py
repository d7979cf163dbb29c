"""What is said to systemd, and when; over a real socket, with a clock of the test's
own."""

import contextlib
import os
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from common.sd_notify import SETTINGS_FILE, Notifier, settings_objection
from tests.support.machine.servicekit import Manager


@pytest.fixture
def manager() -> Iterator[Manager]:
    """Listens as systemd does."""
    with Manager() as made:
        yield made


class Clock:
    """Stands until it is moved."""

    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_a_service_from_start_to_end(manager: Manager) -> None:
    """Every message, in order; a status is said once, in one line."""
    service = Notifier(manager.address, 10.0)
    service.ready()
    service.alive()
    service.status("2 workers;\npass 1:  ok ")
    service.status("2 workers; pass 1: ok")
    service.status("done")
    service.stopping()
    assert manager.received() == [
        "READY=1",
        "WATCHDOG=1",
        "STATUS=2 workers; pass 1: ok",
        "STATUS=done",
        "STOPPING=1",
    ]


def test_signs_of_life_come_at_most_twice_in_a_period(manager: Manager) -> None:
    """However often the loop turns."""
    clock = Clock()
    service = Notifier(manager.address, 10.0, clock)
    said = []
    for seconds in range(21):
        clock.now = 1000.0 + seconds
        service.alive()
        if manager.received():
            said.append(seconds)
    assert said == [0, 5, 10, 15, 20]
    assert service.look_seconds == 1.0


def fill(address: str) -> None:
    """Sends until the listener's queue is full. A sender may have less room than that:
    there are many of them."""
    with contextlib.ExitStack() as stack:
        sent = 1
        while sent:
            sender = stack.enter_context(
                closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM))
            )
            sender.setblocking(False)
            sent = 0
            with contextlib.suppress(BlockingIOError):
                while True:
                    sender.sendto(b"X", address)
                    sent += 1


def test_a_message_that_was_not_taken_is_tried_again() -> None:
    """The queue of a manager that is busy is full: nothing waits, and the next look
    says it."""
    clock = Clock()
    with Manager() as manager:
        service = Notifier(manager.address, 10.0, clock)
        with manager.busy():
            fill(manager.address)
            service.alive()
            service.status("busy")
        assert set(manager.received()) == {"X"}
        service.alive()
        service.status("busy")
        assert manager.received() == ["WATCHDOG=1", "STATUS=busy"]


def test_a_manager_that_is_gone() -> None:
    """Nothing fails."""
    with Manager() as manager:
        service = Notifier(manager.address, 10.0)
    service.ready()
    service.alive()
    service.status("alone")


def test_an_abstract_address() -> None:
    """`@name` is a name that is in no folder."""
    name = f"notify-{os.getpid()}-{id(object())}"
    with closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as listening:
        listening.bind(f"\0{name}")
        Notifier(f"@{name}").ready()
        assert listening.recv(100) == b"READY=1"


@pytest.mark.parametrize("address", ["", "vsock:2:1234", "relative/path"])
def test_without_systemd_nothing_is_said(address: str) -> None:
    """And nobody waits for a sign of life."""
    service = Notifier(address, 10.0)
    service.ready()
    service.alive()
    service.status("x")
    service.stopping()
    assert service.look_seconds is None


@pytest.mark.parametrize(
    ("variables", "look_seconds"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "30000000"}, 3.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "42"}, 3.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "43"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({"WATCHDOG_USEC": "-1"}, None),
        ({"WATCHDOG_USEC": "²"}, None),
    ],
)
def test_what_the_environment_says(
    manager: Manager, variables: dict[str, str], look_seconds: float | None
) -> None:
    """Its variables are taken out, so that no child process has them; the rest
    stays."""
    environment = {"NOTIFY_SOCKET": manager.address, "PATH": "/bin", **variables}
    service = Notifier.taken_from(environment, 42)
    assert environment == {"PATH": "/bin"}
    assert service.look_seconds == look_seconds
    service.ready()
    service.alive()
    assert (
        manager.received()
        == ["READY=1", "WATCHDOG=1"][: 1 if look_seconds is None else 2]
    )


def test_no_environment_of_systemd() -> None:
    """Nothing to take, nothing to say."""
    assert Notifier.taken_from({}, 42).look_seconds is None


def test_a_service_without_its_settings(tmp_path: Path) -> None:
    """The file is named, and what it lacks; who is no service has nothing to say."""
    file = tmp_path / "service.env"
    environment = {SETTINGS_FILE: str(file)}
    assert settings_objection({}, "CALIBRE_LIBRARY") == ""
    said = settings_objection(environment, "CALIBRE_LIBRARY")
    assert said.startswith(f"there is no {file}, the settings of this service")
    assert "set CALIBRE_LIBRARY in it" in said
    file.write_text("")
    said = settings_objection(environment, "CALIBRE_LIBRARY")
    assert said.startswith(f"CALIBRE_LIBRARY is not set in {file}")
