"""When a start is interrupted, and when not yet."""

import signal
from collections.abc import Iterator

import pytest

from deploy.host import interrupts
from deploy.host.interrupts import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@pytest.fixture(autouse=True)
def _handlers() -> Iterator[None]:
    """Those of the tests come back."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    interrupts.begin()
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.mark.parametrize("number", SIGNALS)
def test_it_ends_with_the_status_of_its_signal(number: signal.Signals) -> None:
    with pytest.raises(Interrupted) as asked:
        signal.raise_signal(number)
    assert asked.value.status == 128 + number


def test_only_once() -> None:
    """What ends the processes is not interrupted by an impatient second one."""
    with pytest.raises(Interrupted):
        signal.raise_signal(signal.SIGINT)
    signal.raise_signal(signal.SIGINT)


def test_not_between_a_process_and_its_owner() -> None:
    """It comes where it may, or at the end."""
    steps = []
    with pytest.raises(Interrupted), interrupts.held():
        signal.raise_signal(signal.SIGTERM)
        steps.append("held")
        with interrupts.let_in():
            steps.append("let in")
    assert steps == ["held"]
    interrupts.begin()
    with pytest.raises(Interrupted), interrupts.held():
        signal.raise_signal(signal.SIGTERM)
        steps.append("to its end")
    assert steps == ["held", "to its end"]


def test_not_after_the_end() -> None:
    interrupts.end()
    signal.raise_signal(signal.SIGINT)


def test_what_the_caller_ignores_stays_ignored() -> None:
    """As under nohup."""
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    interrupts.begin()
    signal.raise_signal(signal.SIGHUP)
