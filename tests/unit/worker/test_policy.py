"""The worker's small decisions, each by the few values that it looks at."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from bulk_migrate_calibre import (
    RANGES_HELD,
    REFRESH_FILES,
    REFRESH_SECONDS,
    CalibreMigrator,
)
from migration.errors import (
    LedgerBusy,
    MigrationError,
    ResponseLost,
    ServerFault,
    Unsupported,
)
from migration.model import BookFile, BookId, FileId, Outcome
from migration.worker.options import Options

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)


def worker(**values: object) -> Any:
    """A worker of which nothing else is there."""
    made = CalibreMigrator.__new__(CalibreMigrator)
    for name, value in values.items():
        setattr(made, name, value)
    return made


def options(**values: object) -> Options:
    """Options with these values."""
    return Options(library=Path("l"), state_dir=Path("s"), **cast(Any, values))


def file(kind: str) -> BookFile:
    """A file of a format."""
    return cast(BookFile, SimpleNamespace(id=FileId(BookId(1), kind)))


@pytest.mark.parametrize(
    ("processed", "at_refresh", "seconds", "due"),
    [
        (REFRESH_FILES - 1, 0, REFRESH_SECONDS - 1, False),
        (REFRESH_FILES, 0, 0, True),
        (REFRESH_FILES, 1, 0, False),
        (0, 0, REFRESH_SECONDS, True),
    ],
)
def test_hashes_are_learned_anew(
    processed: int, at_refresh: int, seconds: float, due: bool
) -> None:
    """After so many files since the last time, or so many seconds."""
    seen = worker(
        tracker=SimpleNamespace(processed=processed),
        processed_at_refresh=at_refresh,
        clock=lambda: NOW + timedelta(seconds=seconds),
        last_hash_refresh=NOW,
    )
    assert seen.refresh_due() is due


@pytest.mark.parametrize(
    ("batch", "threads", "remaining", "size"),
    [
        (1000, 1, 80_000, 1000),
        (1000, 1, 800, 100),
        (1000, 1, 8, 5),
        (1000, 4, 8, 8),
        (3, 4, 80_000, 3),
    ],
)
def test_ranges_get_shorter_towards_the_end(
    batch: int, threads: int, remaining: int, size: int
) -> None:
    """An eighth of what is left, never fewer books than threads need."""
    asked: list[tuple[int, int]] = []

    def last_id_of_range(after: int, limit: int) -> int:
        asked.append((after, limit))
        return after + limit

    seen = worker(
        options=options(batch_size=batch),
        pool=SimpleNamespace(size=threads),
        current=SimpleNamespace(id=1),
        ledger=SimpleNamespace(
            passes=SimpleNamespace(remaining_ids=lambda _pass: remaining)
        ),
        library=SimpleNamespace(last_id_of_range=last_id_of_range),
        read_library=lambda read: read(),
    )
    assert seen.end_of_next_range(7) == 7 + size
    assert asked == [(7, size)]


@pytest.mark.parametrize(
    ("room", "held", "claimed", "limit", "wants"),
    [
        (True, {4}, 4, 0, True),
        (False, {4}, 4, 0, False),
        (True, {4, 5}, 4 + RANGES_HELD - 1, 0, True),
        (True, {4, 5}, 4 + RANGES_HELD, 0, False),
        (True, {4}, 4, 1, False),
    ],
)
def test_a_further_range_is_claimed_ahead(
    room: bool, held: set[int], claimed: int, limit: int, wants: bool
) -> None:
    """When the queue has room, not too far ahead of the oldest, and not under a
    limit."""
    queue = SimpleNamespace(has_room=lambda _size: room)
    seen = worker(
        pool=SimpleNamespace(queue=queue, size=2),
        held=held,
        claimed=claimed,
        options=options(limit=limit),
    )
    assert seen.wants_more() is wants


@pytest.mark.parametrize(
    ("error", "again"),
    [
        (ServerFault("HTTP 500"), True),
        (ServerFault("HTTP 429", retry_after=5), False),
        (ResponseLost("no answer"), False),
        (LedgerBusy("locked"), False),
        (Unsupported("no"), False),
        (ValueError("x"), False),
    ],
    ids=lambda value: type(value).__name__,
)
def test_what_is_tried_again_at_once(error: Exception, again: bool) -> None:
    """Trouble of the server that asks for nothing."""
    assert worker().worth_repeating(error) is again
    assert isinstance(error, MigrationError | ValueError)


@pytest.mark.parametrize(
    ("wanted", "kind", "why"),
    [
        ((), "EPUB", ""),
        ((), "ORIGINAL_EPUB", "Calibre's original of a converted file"),
        (("ORIGINAL_EPUB",), "ORIGINAL_EPUB", "Calibre's original of a converted file"),
        (("PDF",), "EPUB", "format not asked for"),
        (("PDF", "EPUB"), "EPUB", ""),
    ],
)
def test_which_files_are_not_wanted(
    wanted: tuple[str, ...], kind: str, why: str
) -> None:
    """By --formats; Calibre's originals never are."""
    seen = worker(options=options(formats=frozenset(wanted)))
    assert seen.excluded(file(kind)) == why


COUNTED = {
    Outcome.UPLOADED: 1,
    Outcome.DUPLICATE: 2,
    Outcome.FAILED: 3,
    Outcome.SKIPPED: 50,
    Outcome.PENDING: 50,
}


@pytest.mark.parametrize(
    ("limit", "in_hand", "left", "reached"),
    [
        (0, 4, None, False),
        (20, 0, 14, False),
        (20, 4, 10, False),
        (6, 0, 0, True),
        (5, 4, 0, True),
    ],
)
def test_a_limit_of_files(
    limit: int, in_hand: int, left: int | None, reached: bool
) -> None:
    """Less what is settled and what is in hand; never below nothing."""
    seen = worker(
        options=options(limit=limit), tracker=SimpleNamespace(count=COUNTED.__getitem__)
    )
    works = [SimpleNamespace(files=[1] * in_hand)] if in_hand else []
    assert seen.allowance(works) == left
    assert seen.limit_reached() is reached
