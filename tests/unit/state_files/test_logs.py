"""The log's format, both ways; what it never says."""

import json
import logging
import re
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.sanitize import for_log
from migration.model import Counts
from migration.state_files import logs
from migration.state_files.logs import Formatter, LogLine, parse


def record(
    message: str, at: datetime | None = None, level: int = logging.INFO
) -> logging.LogRecord:
    """A log record."""
    made = logging.LogRecord("migration", level, "x.py", 1, "%s", (message,), None)
    if at is not None:
        made.created = at.timestamp()
        made.msecs = at.microsecond // 1000
    return made


@given(
    st.text(st.characters(exclude_categories=()), max_size=100),
    # Zone is added.
    st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001
    st.sampled_from([logging.INFO, logging.WARNING, logging.ERROR]),
)
def test_what_is_written_is_parsed_again(
    message: str, at: datetime, level: int
) -> None:
    """Cleaned, on one line, to the millisecond, in UTC."""
    at = at.replace(microsecond=at.microsecond // 1000 * 1000)
    line = Formatter().format(record(message, at, level))
    assert parse(line) == LogLine(
        at, logging.getLevelName(level), for_log(message, logs.LONGEST)
    )


def test_a_newline_forges_no_line() -> None:
    """A title cannot write into the log."""
    line = Formatter().format(record("x\n2026-01-01 00:00:00,000 - ERROR - forged"))
    assert len(line.splitlines()) == 1


def test_a_secret_is_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it appears."""
    monkeypatch.setattr(logs, "_secrets", set())
    logs.mask("hunter2222")
    assert (
        Formatter()
        .format(record("login with hunter2222 failed"))
        .endswith("login with *** failed")
    )


def test_a_traceback_stays_on_its_line() -> None:
    """An error is one event."""
    made = record("it broke")
    try:
        raise ValueError("x\ny")
    except ValueError:
        made.exc_info = sys.exc_info()
    line = Formatter().format(made)
    assert len(line.splitlines()) == 1
    assert "ValueError" in line


@pytest.mark.parametrize(
    "line",
    [
        "",
        "torn",
        "2026-13-45 00:00:00,000 - INFO - x",
        "2026-11-24 10:00:00 - INFO - x",
    ],
)
def test_a_torn_line_is_none(line: str) -> None:
    """After a crash."""
    assert parse(line) is None


@pytest.mark.parametrize(
    ("pattern", "message", "groups"),
    [
        (logs.QUERYING, logs.querying(1, 1000), ("1", "1000")),
        (logs.FOUND, logs.found(17), ("17",)),
        (
            logs.PROCESSED_BATCH,
            logs.processed_batch(1, 9, 20, Counts(20, 0, 15, 0, 0, 5)),
            ("1", "9", "20", "15"),
        ),
        (logs.AVERAGE_RATE, logs.average_rate(123.45), ("123.5",)),
        (logs.HASH_REFRESH, logs.hash_refresh(5), ("5",)),
        (logs.API_CONNECTIVITY, logs.api_connectivity("http://x", ""), ("OK",)),
        (
            logs.API_CONNECTIVITY,
            logs.api_connectivity("http://x", "refused"),
            ("FAILED",),
        ),
    ],
    ids=lambda value: value.pattern if isinstance(value, re.Pattern) else "",
)
def test_the_monitor_finds_what_the_worker_says(
    pattern: re.Pattern[str], message: str, groups: tuple[str, ...]
) -> None:
    """One module owns both directions."""
    match = pattern.match(message)
    assert match is not None
    assert match.groups() == groups


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (
            logs.uploaded("'a (1 bytes, 2.0 s)'", 17, 1.25),
            {"file": "'a (1 bytes, 2.0 s)'", "bytes": 17, "seconds": 1.2},
        ),
        (logs.duplicate("'x'"), {"file": "'x'"}),
        (
            logs.failed("17:EPUB", "too big", "it: is"),
            {"file": "17:EPUB", "reason": "too big", "detail": "it: is"},
        ),
        (
            logs.slow_upload("'x, y'", 5, 130, "upload"),
            {"file": "'x, y'", "bytes": 5, "seconds": 130, "stage": "upload"},
        ),
        (logs.querying(1, 9), {"first": 1, "last": 9}),
        (logs.average_rate(12.5), {"files_per_min": 12.5}),
    ],
)
def test_sentences_are_events_for_programs(
    message: str, expected: dict[str, object]
) -> None:
    """By the module that makes the sentences."""
    found = logs.event(message)
    assert {key: value for key, value in found.items() if key != "event"} == expected
    assert found["event"]


def test_the_log_is_also_written_as_ndjson(tmp_path: Path) -> None:
    """Beside the human one, which stays as it is; the same words, secrets masked, one
    object per line."""
    logs.mask("geheim-1234")
    log = logs.configure(tmp_path, 3, console=False, as_json=True)
    try:
        log.info(logs.uploaded("'a'", 17, 1.0))
        log.warning("password geheim-1234\nforged - INFO - line")
    finally:
        for handler in list(log.handlers):
            log.removeHandler(handler)
            handler.close()
    human = [
        parse(line) for line in logs.log_path(tmp_path, 3).read_text().splitlines()
    ]
    lines = [
        json.loads(line)
        for line in (tmp_path / "migration_worker3.ndjson").read_text().splitlines()
    ]
    assert [line["message"] for line in lines] == [
        line.message for line in human if line is not None
    ]
    assert [
        (line["schema"], line["source"], line["worker_id"], line["level"])
        for line in lines
    ] == [
        (1, "worker", 3, "INFO"),
        (1, "worker", 3, "WARNING"),
    ]
    assert (lines[0]["event"], lines[0]["bytes"], "event" in lines[1]) == (
        "uploaded",
        17,
        False,
    )
    assert "geheim" not in lines[1]["message"]
    assert lines[0]["at"].endswith("+00:00")


def test_logs_are_named_with_their_workers(tmp_path: Path) -> None:
    """The rotated ones too, and nothing else."""
    for name in (
        "migration_worker1.log",
        "migration_worker12.log.3",
        "migration_worker1.lock",
        "migration_worker1.logs",
    ):
        (tmp_path / name).touch()
    assert [(path.name, number) for path, number in logs.log_files(tmp_path)] == [
        ("migration_worker1.log", 1),
        ("migration_worker12.log.3", 12),
    ]


def test_the_frames_of_an_error_begin_with_our_own() -> None:
    """Whatever a library was asked to do: what asked is what can be mended. Each file
    is named as it is found in this project, or in a library."""

    def work() -> object:
        return json.loads("{", object_hook=None)

    with pytest.raises(json.JSONDecodeError) as raised:
        work()
    found = logs.places_of(raised.value)
    assert [re.sub(r"line \d+", "line N", place) for place in found] == [
        'File "tests/unit/state_files/test_logs.py", line N in work',
        'File "tests/unit/state_files/test_logs.py", line N in '
        "test_the_frames_of_an_error_begin_with_our_own",
        'File "decoder.py", line N in raw_decode',
        'File "decoder.py", line N in decode',
        'File "__init__.py", line N in loads',
    ]
