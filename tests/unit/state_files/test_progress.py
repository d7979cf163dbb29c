"""The progress file's format, both ways."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migration.model import Counts, Current, LastError, Phase, Progress
from migration.state_files.progress import from_json, to_json

# Hypothesis adds the zone.
TIMES = st.datetimes(datetime(2020, 1, 1), datetime(2100, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001
NUMBERS = st.integers(min_value=0, max_value=2**53)
TEXTS = st.text(max_size=30)
PROGRESS = st.builds(
    Progress,
    worker_id=NUMBERS,
    pid=NUMBERS,
    pid_started_at=TIMES,
    status=st.sampled_from(Phase),
    started_at=TIMES,
    updated_at=TIMES,
    library=TEXTS,
    server=TEXTS,
    run_id=st.none() | NUMBERS,
    last_upload_at=st.none() | TIMES,
    last_progress_at=st.none() | TIMES,
    last_processed_book_id=st.none() | NUMBERS,
    range=st.none() | st.tuples(NUMBERS, NUMBERS),
    counts=st.builds(Counts, *[NUMBERS] * 6),
    bytes_uploaded=NUMBERS,
    rate_files_per_min=st.floats(min_value=0, max_value=1e6),
    slow_uploads=NUMBERS,
    parallel_uploads=NUMBERS,
    batch_size=NUMBERS,
    current=st.lists(
        st.builds(Current, TEXTS, NUMBERS, NUMBERS, TIMES), max_size=3
    ).map(tuple),
    last_error=st.none()
    | st.builds(
        LastError,
        TEXTS,
        TEXTS,
        TIMES,
        st.floats(0, 900),
        st.just(()) | st.tuples(TEXTS),
    ),
    steps=st.none() | NUMBERS,
    fruitless=NUMBERS,
)


@given(PROGRESS)
def test_what_is_written_is_read_again(progress: Progress) -> None:
    """Exactly, for every progress there can be."""
    assert from_json(to_json(progress)) == progress


def test_the_fields_are_those_of_the_promise() -> None:
    """DESIGN section 7 names them; other programs read them."""
    now = datetime(2026, 11, 24, tzinfo=UTC)
    written = to_json(Progress(1, 2, now, Phase.WAITING, now, now, "/lib", "http://x"))
    assert list(written) == [
        "schema",
        "worker_id",
        "pid",
        "pid_started_at",
        "run_id",
        "status",
        "started_at",
        "updated_at",
        "last_upload_at",
        "last_progress_at",
        "last_processed_book_id",
        "range",
        "counts",
        "bytes_uploaded",
        "rate_files_per_min",
        "slow_uploads",
        "parallel_uploads",
        "batch_size",
        "current",
        "last_error",
        "library",
        "server",
        "steps",
        "fruitless",
    ]
    assert written["updated_at"] == "2026-11-24T00:00:00+00:00"
    assert written["counts"] == dict.fromkeys(
        ("discovered", "uploaded", "duplicate", "skipped", "failed", "pending"), 0
    )


@pytest.mark.parametrize("value", [None, [], {}, {"schema": 2}, "x", 5], ids=repr)
def test_what_is_no_progress_is_none(value: object) -> None:
    """A reader keeps its last value."""
    assert from_json(value) is None  # type: ignore[arg-type]  # hostile input


def test_unknown_keys_are_ignored() -> None:
    """A newer worker may say more."""
    now = datetime(2026, 11, 24, tzinfo=UTC)
    progress = Progress(1, 2, now, Phase.WAITING, now, now, "/lib", "http://x")
    assert from_json({**to_json(progress), "news": 1}) == progress


def test_a_file_of_an_older_version_is_read() -> None:
    """It knows neither steps nor what failed without a reason, nor what was asked."""
    now = datetime(2026, 11, 24, tzinfo=UTC)
    error = LastError("ServerFault", "no", now)
    progress = Progress(
        1, 2, now, Phase.WAITING, now, now, "/lib", "http://x", last_error=error
    )
    older = to_json(progress)
    del older["steps"], older["fruitless"]
    assert isinstance(older["last_error"], dict)
    del older["last_error"]["retry_after"]
    assert from_json(older) == progress
