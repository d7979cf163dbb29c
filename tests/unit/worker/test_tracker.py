"""What a worker has done so far."""

from datetime import UTC, datetime, timedelta

from migration.model import BookId, Counts, Current, FileId, Outcome, Phase, Progress
from migration.worker.progress.tracker import Tracker

NOW = datetime(2026, 11, 24, tzinfo=UTC)
FILE = FileId(BookId(1), "EPUB")


class Clock:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now

    def move(self, seconds: float) -> None:
        """Time goes by."""
        self.now += timedelta(seconds=seconds)


def tracker() -> tuple[Tracker, Clock]:
    """A worker that is discovering."""
    clock = Clock()
    start = Progress(1, 2, NOW, Phase.DISCOVERING, NOW, NOW, "/lib", "http://x")
    return Tracker(start, clock, clock, lambda _count: None), clock


def test_a_new_range_is_progress_and_the_same_one_again_is_not() -> None:
    """A loop must not look healthy."""
    made, clock = tracker()
    made.range_read(1, 10, Counts(5, 0, 0, 0, 0, 5), 5)
    assert made.snapshot().last_progress_at == NOW
    clock.move(60)
    made.range_read(1, 10, Counts(), 0)
    assert made.snapshot().last_progress_at == NOW


def test_settled_files_are_counted_and_end_the_discovery() -> None:
    """With their bytes, their time and the book's id."""
    made, clock = tracker()
    made.range_read(1, 10, Counts(3, 0, 0, 0, 0, 3), 3)
    clock.move(30)
    made.settled(7, Outcome.UPLOADED, 100)
    made.settled(8, Outcome.DUPLICATE, 50)
    seen = made.snapshot()
    assert seen.counts == Counts(3, 1, 1, 0, 0, 1)
    assert (seen.status, seen.bytes_uploaded, seen.last_processed_book_id) == (
        Phase.MIGRATING,
        100,
        8,
    )
    assert seen.last_upload_at == seen.last_progress_at == clock.now
    assert seen.rate_files_per_min == 4.0


def test_only_duplicates_are_progress_too() -> None:
    """A worker that meets nothing else is working."""
    made, _clock = tracker()
    made.range_read(1, 10, Counts(3, 0, 3), 0)
    assert made.snapshot().status is Phase.MIGRATING


def test_a_file_in_hand_shows_its_bytes_and_is_gone_afterwards() -> None:
    """A repeated upload starts at 0 again."""
    made, clock = tracker()
    with made.sending(FILE, "x.epub", 100) as sending:
        sending.stage("upload")
        sending.sent(60)
        assert made.snapshot().current == (Current("x.epub", 60, 100, NOW, FILE),)
        sending.stage("upload")
        sending.sent(30)
        assert made.snapshot().current[0].bytes_sent == 30
        assert made.snapshot().last_progress_at == clock.now
    assert made.snapshot().current == ()


def test_the_slowest_stage_is_named() -> None:
    """All tries together."""
    made, clock = tracker()
    with made.sending(FILE, "x.epub", 100) as sending:
        for name, seconds in (
            ("hash", 1),
            ("upload", 40),
            ("metadata", 60),
            ("upload", 30),
            ("attach", 5),
        ):
            sending.stage(name)
            clock.move(seconds)
        assert sending.slowest_stage() == "upload"
