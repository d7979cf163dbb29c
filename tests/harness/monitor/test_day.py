"""A day of two workers before a whole monitor, without one false alarm; and what is a
case, seen in its time."""

from collections.abc import Callable
from pathlib import Path

import pytest

from auto_monitor.model import Trigger
from migration.model import Phase
from migration.state_files import logs
from tests.support.monitor.daykit import Day, big_file

D, M, W = Phase.DISCOVERING, Phase.MIGRATING, Phase.WAITING
#: One minute of the day: which worker, which minute of the hour.
Minute = Callable[[Day, int, int], None]


def discovers(day: Day, worker: int, minute: int) -> None:
    """A large library: a range takes a quarter of an hour to be read."""
    new = minute % 15 == 14
    if new:
        day.log(worker, logs.querying(minute * 10 + worker, minute * 10 + worker + 9))
    day.write(worker, steps=int(new), status=D, counts=day.counts(worker, pending=new))


def sends_a_big_file(day: Day, worker: int, minute: int) -> None:
    """Over a slow link; after half an hour it fails and is sent from its beginning."""
    error = day.error("ServerUnreachable") if minute == 30 else None
    kept = day.kept[worker].last_error
    day.write(
        worker,
        steps=1,
        status=M,
        current=big_file(minute % 30 * 8),
        last_error=error or kept,
        counts=day.counts(worker, uploaded=int(minute == 59)),
    )


def server_is_away(day: Day, worker: int, minute: int) -> None:
    """Nobody gets on; the worker asks four times a minute."""
    day.made.server.here = minute >= 55
    day.made.server.settled = False
    day.write(worker, status=W, current=(), last_error=day.error("ServerFault"))


def server_is_back(day: Day, worker: int, minute: int) -> None:
    """After the outage each file arrives again."""
    day.made.server.settled = minute >= 5
    arrives(day, worker, minute)


def arrives(day: Day, worker: int, minute: int) -> None:
    """A file every three minutes."""
    more = int(minute % 3 == 0)
    day.write(worker, steps=more, status=M, counts=day.counts(worker, uploaded=more))


def calibre_has_the_library(day: Day, worker: int, minute: int) -> None:
    """Locked for an hour; it is said once a minute."""
    day.write(worker, status=W, last_error=day.error("LibraryBusy"))


def server_asks_for_an_hour(day: Day, worker: int, minute: int) -> None:
    """At most a quarter of one is granted at a time, then it asks again."""
    kept = day.kept[worker].last_error
    asked = day.error("ServerFault", 900.0) if minute % 15 == 0 else kept
    day.write(worker, status=W, last_error=asked)


def one_waits_for_the_other(day: Day, worker: int, minute: int) -> None:
    """The same bytes are in flight in worker 1, which takes an hour; worker 2 tries
    again and again."""
    if worker == 1:
        sends_a_big_file(day, worker, minute % 30)
    else:
        day.write(worker, status=W if minute % 3 else M)


def updates(day: Day, worker: int, minute: int) -> None:
    """Books edited in Calibre: no file, no count moves."""
    day.write(worker, steps=40, status=M)


def meets_duplicates(day: Day, worker: int, minute: int) -> None:
    """Every four minutes."""
    more = int(minute % 4 == 3)
    day.write(worker, steps=more, status=M, counts=day.counts(worker, duplicate=more))


def server_takes_no_comics(day: Day, worker: int, minute: int) -> None:
    """A shelf of them: for an hour nothing but refusals."""
    day.write(worker, steps=2, status=M, counts=day.counts(worker, failed=2))


def calibre_rewrites_files(day: Day, worker: int, minute: int) -> None:
    """While they are being sent; every tenth minute one is left alone."""
    arrived = int(minute % 10 == 9)
    kept = day.kept[worker].fruitless
    day.write(
        worker,
        steps=1,
        status=M,
        fruitless=0 if arrived else kept + 1,
        last_error=day.error("FileChanged"),
        counts=day.counts(worker, uploaded=arrived),
    )


def keeps_to_its_limits(day: Day, worker: int, minute: int) -> None:
    """A file a quarter of an hour is too few for any limit; one in three minutes."""
    more = int(minute % 3 == 0)
    day.write(worker, steps=more, status=W, counts=day.counts(worker, uploaded=more))


def memory_grows_and_stays(day: Day, worker: int, minute: int) -> None:
    """Fast at first, towards 95 % of what there is; as many files are open as in a
    saw."""
    day.gauge.memory = 1900 - 1700 * 0.9**minute
    day.gauge.files = 60 + minute % 10 * 90
    arrives(day, worker, minute)


def memory_grows_all_day(day: Day, worker: int, minute: int) -> None:
    """As long as there is enough, that is nobody's affair."""
    day.gauge.memory, day.gauge.files = 200 + minute * 20, 60 + minute * 12
    arrives(day, worker, minute)


def audit(day: Day, worker: int, minute: int) -> None:
    """Worker 1 reads back what the pass has changed, a book every three minutes; the
    other waits for the end."""
    day.gauge.memory, day.gauge.files = 200, 60
    day.write(worker, steps=int(worker == 1 and minute % 3 == 0), status=W)


DAY: list[Minute] = [
    discovers,
    discovers,
    sends_a_big_file,
    sends_a_big_file,
    server_is_away,
    server_is_back,
    calibre_has_the_library,
    arrives,
    server_asks_for_an_hour,
    server_asks_for_an_hour,
    arrives,
    one_waits_for_the_other,
    updates,
    updates,
    meets_duplicates,
    server_takes_no_comics,
    arrives,
    calibre_rewrites_files,
    keeps_to_its_limits,
    memory_grows_and_stays,
    arrives,
    memory_grows_all_day,
    audit,
    audit,
]


def test_a_whole_day_without_a_false_alarm(tmp_path: Path) -> None:
    """Twenty-four hours, a look a minute."""
    day = Day(tmp_path)
    assert len(DAY) == 24
    for hour, happens in enumerate(DAY):
        for minute in range(60):
            for worker in (1, 2):
                happens(day, worker, minute)
            day.minute()
            assert day.alarms() == [], (hour, happens.__name__, minute)
    assert day.made.processes.started == [
        (1, "bulk_migrate_calibre.py"),
        (2, "bulk_migrate_calibre.py"),
    ]


# -- what is a case ---------------------------------------------------------------------


def goes_in_circles(day: Day, worker: int, minute: int) -> None:
    """The same file from its beginning, for ever: its times move, its steps do not."""
    day.write(
        worker,
        status=M,
        current=big_file(minute % 5 * 8),
        last_progress_at=day.now,
        counts=day.counts(worker, uploaded=int(minute == 0)),
    )


def all_wait(day: Day, worker: int, minute: int) -> None:
    """Each for the other."""
    day.write(worker, status=W)


def all_turn_to_work_and_back(day: Day, worker: int, minute: int) -> None:
    """The same, and now and then they look busy."""
    day.write(worker, status=M if minute % 4 == 3 else W)


def fails_file_after_file(day: Day, worker: int, minute: int) -> None:
    """Nobody says why."""
    fruitless = 12 * minute
    day.write(worker, status=M, fruitless=fruitless, last_error=day.error("TypeError"))


def leaks_files(day: Day, worker: int, minute: int) -> None:
    """Forty more a minute, while it gets on."""
    day.gauge.files = 60 + 40 * minute
    arrives(day, worker, minute)


def leaks_memory(day: Day, worker: int, minute: int) -> None:
    """Fifty megabytes more a minute, with garbage that is collected now and then."""
    day.gauge.memory = 200 + 50 * minute - minute % 3 * 20
    arrives(day, worker, minute)


CASES = [
    (goes_in_circles, 4, Trigger.STUCK, "stuck: no progress"),
    (all_wait, 5, Trigger.STUCK, "stuck: it waits, as every worker does, for nothing"),
    (
        all_turn_to_work_and_back,
        5,
        Trigger.STUCK,
        "stuck: it waits, as every worker does, for nothing",
    ),
    (
        fails_file_after_file,
        2,
        Trigger.ALL_FAILING,
        "stuck: file after file fails, and not by the server",
    ),
    (leaks_files, 21, Trigger.LEAKING, "stuck: it opens ever more files"),
    (leaks_memory, 30, Trigger.LEAKING, "stuck: its memory grows without end"),
]


@pytest.mark.parametrize(
    ("happens", "within", "trigger", "cause"),
    CASES,
    ids=[case[0].__name__ for case in CASES],
)
def test_what_is_wrong_is_seen_in_its_time(
    tmp_path: Path, happens: Minute, within: int, trigger: Trigger, cause: str
) -> None:
    """Both workers are alike; one of them is treated first."""
    day = Day(tmp_path)
    for worker in (1, 2):
        arrives(day, worker, 0)
    day.minute()
    seen = None
    for minute in range(60):
        for worker in (1, 2):
            happens(day, worker, minute)
        day.minute()
        if day.made.entries():
            seen = minute
            break
    [entry] = day.made.entries()
    assert seen == within
    assert (entry.trigger, entry.root_cause.partition("; in hand")[0]) == (
        trigger,
        cause,
    )


@pytest.mark.parametrize("happens", [all_wait, fails_file_after_file])
def test_while_the_server_is_away_nobody_waits_for_nothing(
    tmp_path: Path, happens: Minute
) -> None:
    """Nor does anybody fail for no reason."""
    day = Day(tmp_path)
    day.made.server.here = False
    for minute in range(60):
        for worker in (1, 2):
            happens(day, worker, minute)
        day.minute()
    assert day.made.entries() == []


def test_one_that_works_is_what_the_others_wait_for(tmp_path: Path) -> None:
    """However long that takes."""
    day = Day(tmp_path)
    for minute in range(120):
        sends_a_big_file(day, 1, minute % 30) if minute else arrives(day, 1, 0)
        all_wait(day, 2, minute)
        day.minute()
    assert day.alarms() == []


def test_what_is_wrong_is_remembered_for_those_who_ask(tmp_path: Path) -> None:
    """`--status` and the dashboard read it; it is over when the worker is well."""
    day = Day(tmp_path)
    day.made.disk.there = False
    kept: list[str] = []
    for happens in [leaks_files] * 24 + [audit, arrives]:
        for worker in (1, 2):
            happens(day, worker, len(kept))
        day.minute()
        kept.append(day.made.monitor.memory.record(1).suspect_of)
    assert [kept[20], kept[23], kept[-1]] == ["", "it opens ever more files", ""]
