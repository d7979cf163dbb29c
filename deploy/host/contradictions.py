"""Options of `./start.sh` that contradict each other. Pure.

An option that has no effect beside another one is no contradiction: a long command line
with `--dry-run` in front of it says what that command would do.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from common.settings.selecting import Selecting
from common.settings.setting import settings_of

SELECTION = tuple(one.option for one in settings_of(Selecting))


@dataclass(frozen=True, slots=True)
class Contradiction:
    """`option` does not go with any of `others`; `why` completes the sentence."""

    option: str
    others: tuple[str, ...]
    why: str


TABLE = (
    Contradiction(
        "--demo",
        ("--library", "DIR", "--server", "--data-dir", "--owner"),
        "it moves the shipped library to a server of its own",
    ),
    Contradiction("--demo", ("--state-dir",), "it keeps everything in demo/state/"),
    Contradiction("--demo", ("--workers",), "it has two workers"),
    Contradiction(
        "--demo",
        ("--foreground", "--no-monitor"),
        "it shows its monitor until it is done",
    ),
    Contradiction(
        "--demo",
        ("--adopt-library", "--rebind", "--delete-removed"),
        "that is about a library of yours",
    ),
    Contradiction(
        "--watch",
        ("--demo", "--dry-run", "--no-monitor"),
        "--watch is the monitor's, on a library of yours",
    ),
    Contradiction("--watch", ("--limit", "--max-duration"), "it has no end"),
    Contradiction(
        "--delete-removed", ("--watch",), "a monitor that stays never deletes"
    ),
    Contradiction(
        "--dry-run", ("--adopt-library", "--rebind"), "it changes nothing in the ledger"
    ),
    Contradiction("--dry-run", ("--foreground", "--no-monitor"), "it starts nothing"),
    Contradiction(
        "--foreground", ("--no-monitor",), "it is the monitor that is in the foreground"
    ),
    Contradiction("--no-monitor", ("--llm-enabled",), "it is the monitor that asks"),
    Contradiction(
        "--server", ("--embedded-port",), "that is the port of the embedded server"
    ),
    Contradiction(
        "--rebind", ("--adopt-library",), "start twice, with one of them each time"
    ),
    Contradiction(
        "--delete-removed", SELECTION, "it is about the whole library, not a selection"
    ),
)

#: What an option is for, which alone says nothing.
NEEDS: Mapping[str, tuple[str, ...]] = {
    "--json": ("--dry-run",),
    "--rebind": ("--server",),
    "--every": ("--watch",),
    "--max-delete": ("--delete-removed",),
    "--rate": ("--dry-run",),
}


def contradiction(given: Collection[str], standing: Collection[str] = ()) -> str:
    """Returns why these options are refused, or "".

    `given` are those of the command line, `standing` those that settings amount to
    without being given: they meet what an option needs, and contradict nothing.
    """
    for row in TABLE:
        found = [other for other in row.others if other in given]
        if row.option in given and found:
            return f"{row.option} does not go with {found[0]}: {row.why}"
    for option, others in NEEDS.items():
        if option in given and not {*given, *standing} & set(others):
            return f"{option} goes with {' or '.join(others)}: give both, or neither"
    return ""
