"""The status on a terminal: every situation, at every width a terminal has."""

import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console

from auto_monitor.cli.picture import ago, fit, name_of, picture
from auto_monitor.cli.status import (
    FileStatus,
    MonitorStatus,
    PassStatus,
    Status,
    WatchStatus,
    WorkerStatus,
)
from migration.model import Counts

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
WIDTHS = (60, 80, 120, 200)
FILE = FileStatus("Ada Okonjo/Signals (17)/Signals - Ada.epub", 3_000_000, 4_800_000, 2)
LONG = FileStatus(f"A/B (17)/{'Title of a very long book, ' * 40}.epub", 1, 3, 2)
CJK = FileStatus(f"村上/海辺 (17)/{'海辺のカフカ' * 30}.azw3", 5, 10, 2)
#: Combining marks, joined pictures, right to left, markup.
ODD = FileStatus(
    "e\u0301" * 50
    + "\U0001f469\u200d\U0001f469\u200d\U0001f467" * 9
    + "كتاب " * 30
    + "[bold]x[/].pdf",
    0,
    0,
    0,
)
WORKER = WorkerStatus(
    1,
    status="migrating",
    lives=True,
    rate_files_per_min=211.4,
    progress_age_seconds=0.7,
    files=(FILE,),
    known_to_monitor=True,
)
AWAY = "ServerFault: the server at http://192.0.2.17:8080 answers 503 to every request"
PASS = PassStatus(
    7,
    NOW - timedelta(hours=2),
    None,
    Counts(600, 500, 40, 6, 4, 50),
    1000,
    {},
    {},
    {},
    5_000_000,
    50.0,
)
STATUS = Status(
    schema=1,
    at=NOW,
    monitor=MonitorStatus(True, False, 77, 3.1, ""),
    desired_workers=3,
    target_workers=4,
    library="/lib",
    server="http://server",
    disk_utilization_percent=63.5,
    io_pressure_percent=None,
    workers=(WORKER,),
    totals=PASS,
    rate_files_per_min=210.5,
    eta_seconds=125.0,
)


def workers(number: int, **changes: object) -> tuple[WorkerStatus, ...]:
    """So many, alike but for their ids."""
    return tuple(
        replace(WORKER, worker_id=n + 1, **changes)  # type: ignore[arg-type]
        for n in range(number)
    )


def of(*changed: WorkerStatus, **changes: object) -> Status:
    """The status with these workers."""
    return replace(STATUS, workers=changed or STATUS.workers, **changes)  # type: ignore[arg-type]


#: What is in hand, and what must be read of it whatever the width.
SITUATIONS = [
    pytest.param(of(), ["migrating", ".epub", "1 s ago"], id="a file in hand"),
    pytest.param(of(replace(WORKER, files=(LONG,))), [".epub"], id="long"),
    pytest.param(of(replace(WORKER, files=(CJK,))), ["海", "azw3"], id="wide"),
    pytest.param(of(replace(WORKER, files=(ODD,))), ["pdf"], id="odd letters"),
    pytest.param(
        of(*workers(12, files=(CJK, LONG, ODD), rate_files_per_min=12_345.6)),
        [*map(str, range(1, 13)), "+2"],
        id="twelve workers with three files each",
    ),
    pytest.param(
        of(*workers(2, progress_age_seconds=300_000.0)), ["83 h ago"], id="for hours"
    ),
    pytest.param(
        of(*workers(12, status="waiting", last_error=AWAY, files=())),
        ["waiting", "Workers 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12: " + AWAY],
        id="all wait for the server",
    ),
    pytest.param(
        of(replace(WORKER, stuck=True, stuck_why="it has sent nothing for 12 minutes")),
        ["stuck", "Worker 1: it has sent nothing for 12 minutes"],
        id="stuck",
    ),
    pytest.param(
        of(replace(WORKER, attempts=2, case=f"attempt 2, stuck on {ODD.file[:60]}")),
        ["Worker 1: attempt 2, stuck on"],
        id="being repaired",
    ),
    pytest.param(
        of(
            replace(
                WORKER,
                paused=True,
                attempts=3,
                lives=False,
                status="failed",
                last_error=AWAY,
                exit_code=3,
            )
        ),
        [
            "PAUSED",
            f"Worker 1: paused after 3 attempts to help; {AWAY}; exit status 3",
        ],
        id="given up",
    ),
    pytest.param(
        of(replace(WORKER, paused=True, paused_by_hand=True, lives=False)),
        ["paused by you"],
        id="paused by a person",
    ),
    pytest.param(
        of(replace(WORKER, lives=False, status="initializing", exit_code=-9)),
        ["gone", "Worker 1: gone while initializing; exit status -9"],
        id="killed",
    ),
    pytest.param(
        replace(STATUS, totals=None, workers=()), ["No pass has been"], id="no pass"
    ),
    pytest.param(
        of(
            totals=replace(
                PASS,
                total=1_700_000,
                counts=Counts(1_699_999, 1_234_567, 234_567, 123_456, 12_345, 95_064),
                opened_at=NOW - timedelta(days=33),
                selection=f"selection: tag {', '.join(['Fiction and more'] * 30)}",
            )
        ),
        [
            "94.4 % of 1,700,000 files",
            "1,234,567 uploaded",
            "95,064 pending",
            "33 days, 0:00:00 so far",
            "about 0:02:05 to go",
            "selection: tag",
        ],
        id="a large library",
    ),
    pytest.param(
        of(
            totals=replace(
                PASS,
                undoes=3,
                closed_at=NOW,
                deletions="Pass 7 undid pass 3: 12 ebooks taken back, 3 stay",
            )
        ),
        ["Pass 7, closed", "Pass 7 undid pass 3: 12 ebooks taken back, 3 stay"],
        id="an undo",
    ),
    pytest.param(
        of(
            monitor=MonitorStatus(True, True, 77, 7200.0, ""),
            changed_script="The workers' script was changed by a code fix at 11:04:13; "
            "monitor.py --diff shows it, --rollback takes it back",
            llm="HTTP 503 from a host with a long name",
            watch=WatchStatus(
                NOW,
                0.0,
                NOW,
                900.0,
                "",
                "",
                "watching; looked 3 min ago: no change since pass 8 (4 files)",
            ),
        ),
        [
            "ITS HEARTBEAT IS STALE",
            "monitor.py --diff shows it, --rollback takes it",
            "LLM: DOES NOT ANSWER: HTTP 503 from a host with a long name",
            "Library: watching; looked 3 min ago: no change since pass 8 (4 files)",
        ],
        id="all that can be said of the monitor",
    ),
]


def drawn(value: Status, width: int, *, terminal: bool = False) -> list[str]:
    """The lines, as on a terminal of this width or into a pipe."""
    console = Console(
        file=io.StringIO(), width=width, force_terminal=terminal, no_color=True
    )
    actions = [f"2026-11-24 10:00:00,000 - INFO - Restarting worker 1: {'x' * 200}"]
    console.print(picture(value, NOW, actions, ["Code fixes: confined"]))
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined, no-any-return]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize(("value", "words"), SITUATIONS)
def test_no_line_is_too_long_and_nothing_important_is_cut(
    value: Status, words: list[str], width: int
) -> None:
    """In a pipe, too, where nothing may be added for a terminal."""
    lines = drawn(value, width)
    assert [line for line in lines if cell_len(line) > width] == []
    # What is longer than a line goes on in the next, also in the middle of a word.
    said = "".join("".join(lines).split())
    assert [word for word in words if "".join(word.split()) not in said] == []
    assert not any("\x1b" in line for line in lines)


@pytest.mark.parametrize("value", [case.values[0] for case in SITUATIONS])
def test_a_very_narrow_terminal(value: Status) -> None:
    """Names are cut, lines are not longer."""
    assert [line for line in drawn(value, 40) if cell_len(line) > 40] == []


def test_what_has_been_sent_of_a_file() -> None:
    """Its share; none of an empty one."""
    assert "Signals - Ada.epub" in "\n".join(drawn(of(), 60))
    assert "62 %" in "\n".join(drawn(of(), 60))
    assert " 0 %" in "\n".join(drawn(of(replace(WORKER, files=(ODD,))), 80))


def test_a_wide_terminal_has_more() -> None:
    """Attempts, and bytes in place of a share."""
    value = of(replace(WORKER, attempts=2))
    assert "3.0 MB of 4.8 MB" in "\n".join(drawn(value, 120))
    assert "attempts" in "\n".join(drawn(value, 120))
    assert "211" in "\n".join(drawn(value, 80))


def test_the_same_trouble_of_several_is_told_once() -> None:
    """One sentence for all of them."""
    lines = drawn(of(*workers(4, status="waiting", last_error=AWAY)), 120)
    assert [line for line in lines if AWAY in line] == [f"Workers 1, 2, 3, 4: {AWAY}"]


def test_a_finished_pass_has_its_own_rate() -> None:
    """No worker has one any more."""
    value = of(
        totals=replace(PASS, closed_at=NOW, counts=Counts(600, 596, 0, 0, 4, 0)),
        rate_files_per_min=0.0,
        eta_seconds=None,
    )
    assert "Rate: 5.0 files/min, 5.0 MB uploaded, took 2:00:00" in drawn(value, 80)


def test_text_of_books_is_no_markup() -> None:
    """It is shown as it is."""
    value = of(replace(WORKER, files=(replace(FILE, file="[bold red]x[/].epub"),)))
    assert "[bold red]x[/].epub" in "\n".join(drawn(value, 80))


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.0, "0 s ago"),
        (99, "99 s ago"),
        (120, "2 min ago"),
        (5_990, "100 min ago"),
        (6_000, "2 h ago"),
        (350_000, "97 h ago"),
        (400_000, "5 days ago"),
    ],
)
def test_ages(seconds: float, words: str) -> None:
    """One unit, so that a column of them is narrow."""
    assert ago(seconds) == words


@given(st.text(max_size=60), st.integers(0, 40))
def test_a_name_fits(text: str, width: int) -> None:
    """Whole where it can be; else with its beginning and its end."""
    shown = fit(text, width)
    assert cell_len(shown) <= width
    if cell_len(text) <= width:
        assert shown == text


@pytest.mark.parametrize(
    ("text", "width", "shown"),
    [
        ("Signals - Ada.epub", 18, "Signals - Ada.epub"),
        ("Signals - Ada.epub", 12, "Signals…epub"),
        ("海辺のカフカ.azw3", 11, "海辺の…zw3"),
        ("abc", 1, "…"),
        ("abc", 0, ""),
    ],
)
def test_what_a_name_loses(text: str, width: int, shown: str) -> None:
    """Its middle: the ending tells the format."""
    assert fit(text, width) == shown


def test_folders_are_left_out() -> None:
    """They say the same again."""
    assert name_of(FILE.file) == "Signals - Ada.epub"
    assert name_of("no folders.epub") == "no folders.epub"
