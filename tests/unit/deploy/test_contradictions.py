"""Options of `./start.sh` that contradict each other: every pair of them."""

from itertools import combinations

import pytest

from common.settings.programs import StartSettings
from common.settings.setting import settings_of
from deploy.host.command_line import build_parser
from deploy.host.contradictions import NEEDS, SELECTION, TABLE, contradiction

OPTIONS = (
    "--demo",
    "DIR",
    "--library",
    "--server",
    "--state-dir",
    "--workers",
    "--embedded-port",
    "--adopt-library",
    "--rebind",
    "--llm-enabled",
    "--dry-run",
    "--foreground",
    "--no-monitor",
    "--watch",
    "--delete-removed",
    "--limit",
    "--max-duration",
    "--tag",
    "--not-ids",
)
#: Every pair of them that is refused; DIR and --library are `options`' own.
REFUSED = {
    ("--demo", "DIR"),
    ("--demo", "--library"),
    ("--demo", "--server"),
    ("--demo", "--state-dir"),
    ("--demo", "--workers"),
    ("--demo", "--adopt-library"),
    ("--demo", "--rebind"),
    ("--demo", "--foreground"),
    ("--demo", "--no-monitor"),
    ("--demo", "--watch"),
    ("--demo", "--delete-removed"),
    ("--server", "--embedded-port"),
    ("--adopt-library", "--dry-run"),
    ("--adopt-library", "--rebind"),
    ("--rebind", "--dry-run"),
    ("--llm-enabled", "--no-monitor"),
    ("--dry-run", "--foreground"),
    ("--dry-run", "--no-monitor"),
    ("--dry-run", "--watch"),
    ("--foreground", "--no-monitor"),
    ("--no-monitor", "--watch"),
    ("--watch", "--delete-removed"),
    ("--watch", "--limit"),
    ("--watch", "--max-duration"),
    ("--delete-removed", "--tag"),
    ("--delete-removed", "--not-ids"),
}


@pytest.mark.parametrize("pair", list(combinations(OPTIONS, 2)), ids=" ".join)
def test_a_pair(pair: tuple[str, str]) -> None:
    """Refused or not, whichever of the two is named first."""
    for given in (pair, pair[::-1]):
        # A server is there, so that it is this pair that is refused.
        why = contradiction(given, ["--server"])
        assert bool(why) is (pair in REFUSED), why
        assert all(option in why for option in pair) or not why


@pytest.mark.parametrize("option", NEEDS)
def test_an_option_that_says_nothing_alone(option: str) -> None:
    (other,) = NEEDS[option]
    assert (
        contradiction([option]) == f"{option} goes with {other}: give both, or neither"
    )
    assert contradiction([option, other]) == contradiction([option], [other]) == ""


def test_every_option_named_is_one() -> None:
    """A renamed option must not leave its row behind."""
    known = {
        text for action in build_parser()._actions for text in action.option_strings
    }
    named = {option for row in TABLE for option in (row.option, *row.others)}
    needed = {*NEEDS, *(other for others in NEEDS.values() for other in others)}
    assert named | needed <= known | {"DIR"}
    assert set(SELECTION) <= {one.option for one in settings_of(StartSettings)}
