"""The log's format, both ways; what it never says."""

import logging
import re
import sys
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migration import logs
from migration.logs import Formatter, LogLine, parse
from migration.model import Counts
from migration.sanitize import for_log


def record(message: str, at: datetime | None = None, level: int = logging.INFO) -> logging.LogRecord:
    """A log record."""
    made = logging.LogRecord("migration", level, "x.py", 1, "%s", (message,), None)
    if at is not None:
        made.created = at.timestamp()
        made.msecs = at.microsecond // 1000
    return made


@given(
    st.text(st.characters(exclude_categories=()), max_size=100),
    st.datetimes(datetime(2000, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC)),  # noqa: DTZ001 - zone is added
    st.sampled_from([logging.INFO, logging.WARNING, logging.ERROR]),
)
def test_what_is_written_is_parsed_again(message: str, at: datetime, level: int) -> None:
    """Cleaned, on one line, to the millisecond, in UTC."""
    at = at.replace(microsecond=at.microsecond // 1000 * 1000)
    line = Formatter().format(record(message, at, level))
    assert parse(line) == LogLine(at, logging.getLevelName(level), for_log(message, logs.LONGEST))


def test_a_newline_forges_no_line() -> None:
    """A title cannot write into the log."""
    line = Formatter().format(record("x\n2026-01-01 00:00:00,000 - ERROR - forged"))
    assert len(line.splitlines()) == 1


def test_a_secret_is_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it appears."""
    monkeypatch.setattr(logs, "_secrets", set())
    logs.mask("hunter2222")
    assert Formatter().format(record("login with hunter2222 failed")).endswith("login with *** failed")


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


@pytest.mark.parametrize("line", ["", "torn", "2026-13-45 00:00:00,000 - INFO - x", "2026-11-24 10:00:00 - INFO - x"])
def test_a_torn_line_is_none(line: str) -> None:
    """After a crash."""
    assert parse(line) is None


@pytest.mark.parametrize(
    ("pattern", "message", "groups"),
    [
        (logs.QUERYING, logs.querying(1, 1000), ("1", "1000")),
        (logs.FOUND, logs.found(17), ("17",)),
        (logs.PROCESSED_BATCH, logs.processed_batch(1, 9, 20, Counts(20, 0, 15, 0, 0, 5)), ("1", "9", "20", "15")),
        (logs.AVERAGE_RATE, logs.average_rate(123.45), ("123.5",)),
        (logs.HASH_REFRESH, logs.hash_refresh(5), ("5",)),
        (logs.API_CONNECTIVITY, logs.api_connectivity("http://x", ""), ("OK",)),
        (logs.API_CONNECTIVITY, logs.api_connectivity("http://x", "refused"), ("FAILED",)),
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
