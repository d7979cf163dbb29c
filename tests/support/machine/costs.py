"""What the tests cost: wall and CPU seconds of every file, children included.

    ./run_tests.sh -p tests.support.machine.costs

A file with much wall and little CPU waits: more of its kind can run side by side. One
with as much CPU as wall keeps a core busy.
"""

import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from resource import RUSAGE_CHILDREN, RUSAGE_SELF, getrusage

import pytest

SHOWN = 40
_CPU = "cpu seconds"
_WALL = "wall seconds"


@dataclass(slots=True)
class Cost:
    """Of the tests of one file, summed up."""

    tests: int = 0
    wall: float = 0.0
    cpu: float = 0.0


_COSTS: dict[str, Cost] = defaultdict(Cost)


def _cpu() -> float:
    """Of this process and of every child that it has waited for."""
    both = getrusage(RUSAGE_SELF), getrusage(RUSAGE_CHILDREN)
    return sum(usage.ru_utime + usage.ru_stime for usage in both)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Remembers when a test began, its fixtures included."""
    item.stash[_BEGAN] = (time.monotonic(), _cpu())
    return (yield)


_BEGAN = pytest.StashKey[tuple[float, float]]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Iterator[None]:
    """The report of the last phase carries what the whole test cost."""
    if call.when == "teardown":
        wall, cpu = item.stash[_BEGAN]
        item.user_properties.append((_WALL, time.monotonic() - wall))
        item.user_properties.append((_CPU, _cpu() - cpu))
    return (yield)


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    """Adds a test to its file, in the process that prints."""
    found = dict(report.user_properties)
    if report.when != "teardown" or _CPU not in found:
        return
    cost = _COSTS[report.nodeid.partition("::")[0]]
    cost.tests += 1
    cost.wall += float(str(found[_WALL]))
    cost.cpu += float(str(found[_CPU]))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """The dearest files, and all of them together."""
    dearest = sorted(_COSTS.items(), key=lambda item: -item[1].wall)
    total = Cost(
        sum(cost.tests for cost in _COSTS.values()),
        sum(cost.wall for cost in _COSTS.values()),
        sum(cost.cpu for cost in _COSTS.values()),
    )
    terminalreporter.section("costs, seconds")
    terminalreporter.write_line("    wall      cpu  tests")
    for name, cost in [*dearest[:SHOWN], ("all", total)]:
        terminalreporter.write_line(
            f"{cost.wall:8.1f} {cost.cpu:8.1f} {cost.tests:6} {name}"
        )
