"""Numbers of a pass in words."""

from datetime import UTC, datetime, timedelta

import pytest

from migration.ledger.totals import Totals, equation
from migration.model import Counts
from migration.worker.progress.report import minutes_in_words, size_in_words

START = datetime(2026, 11, 24, 10, 0, tzinfo=UTC)


def totals(**changes: object) -> Totals:
    """Two minutes of work."""
    given: dict[str, object] = {
        "pass_id": 3,
        "opened_at": START,
        "closed_at": START + timedelta(minutes=2),
        "counts": Counts(10, 5, 2, 1, 2, 0),
        "bytes_uploaded": 1_234_567,
        "failed": {"unsupported": 1, "missing": 1},
        "not_carried": {"comments": 4},
        "orphaned_uploads": 0,
        "highest_id": 9,
        "claimed_to": 9,
    }
    return Totals(**{**given, **changes})  # type: ignore[arg-type]  # built from a table


def test_the_equation_is_one_sentence() -> None:
    """With the proof, or a loud word."""
    assert equation(totals(), proved=True) == (
        "Pass 3 closed: discovered 10 = uploaded 5 + duplicate 2 + skipped 1 + "
        "failed 2 + pending 0 (proved row by row)"
    )
    assert "DO NOT AGREE" in equation(totals(), proved=False)


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, "0 bytes"),
        (999, "999 bytes"),
        (1000, "1.0 kB"),
        (5.5e9, "5.5 GB"),
        (9e15, "9000.0 TB"),
    ],
)
def test_sizes(size: float, words: str) -> None:
    """Powers of a thousand."""
    assert size_in_words(size) == words


@pytest.mark.parametrize(
    ("minutes", "words"),
    [
        (0.5, "30 s"),
        (1.5, "90 s"),
        (2, "2 min"),
        (90, "1 h 30 min"),
        (3000, "50 h 0 min"),
    ],
)
def test_times(minutes: float, words: str) -> None:
    """Seconds, minutes, hours."""
    assert minutes_in_words(minutes) == words
