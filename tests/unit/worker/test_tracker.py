"""What a worker has done so far."""

from datetime import UTC, datetime, timedelta

import pytest

from migration.errors import Deferred, ServerFault, Transient
from migration.model import BookId, Counts, Current, FileId, Outcome, Phase, Progress
from migration.worker.progress.furthest import FRESH_STARTS
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


def send(made: Tracker, upto: int, size: int = 100) -> None:
    """Sends the first bytes of the file, in steps of ten."""
    with made.sending(FILE, "x.epub", size) as sending:
        sending.stage("upload")
        for _ in range(upto // 10):
            sending.sent(10)


def steps(made: Tracker) -> int:
    """How many steps forward it has made."""
    return made.snapshot().steps or 0


def test_the_same_bytes_sent_again_are_no_progress() -> None:
    """Opened anew, or from the first stage on; only what lies beyond is."""
    made, clock = tracker()
    send(made, 60)
    first = steps(made)
    assert first == 7
    clock.move(60)
    for _ in range(5):
        send(made, 60)
        with made.sending(FILE, "x.epub", 100) as sending:
            sending.stage("hash")
            sending.stage("check")
    assert (steps(made), made.snapshot().last_progress_at) == (first, NOW)
    send(made, 70)
    assert (steps(made), made.snapshot().last_progress_at) == (first + 1, clock.now)


@pytest.mark.parametrize("error", [ServerFault("no"), Deferred("later")], ids=repr)
def test_what_failed_may_be_sent_again_but_not_for_ever(
    error: Transient | Deferred,
) -> None:
    """Its bytes count for each of the tries that a file has, and then no more."""
    made, _clock = tracker()
    counted = []
    for _ in range(FRESH_STARTS + 3):
        before = steps(made)
        with pytest.raises(type(error)), made.sending(FILE, "x", 100) as sending:
            sending.stage("upload")
            sending.sent(50)
            raise error
        counted.append(steps(made) - before)
    assert counted == [2] * (FRESH_STARTS + 1) + [0, 0]


def test_a_file_that_was_replaced_or_settled_is_another_one() -> None:
    """Calibre rewrote it; or the server has lost it, and it is sent once more."""
    made, _clock = tracker()
    send(made, 60)
    before = steps(made)
    send(made, 60, size=200)
    assert steps(made) == before + 7
    made.over(FILE)
    send(made, 60, size=200)
    assert steps(made) == before + 14


def test_any_other_piece_of_work_counts_once() -> None:
    """A book, a page of a list, a range that is called new again."""
    made, _clock = tracker()
    for _ in range(3):
        made.reach(("book", BookId(1)), (0, 0))
        for page in range(4):
            made.reach(("listed", 1), (0, page))
        made.range_read(1, 10, Counts(5, 0, 0, 0, 0, 5), 5)
    assert steps(made) == 6


def test_a_large_file_that_is_read_gets_on() -> None:
    """Over a slow link to the library it takes minutes until anything is sent."""
    made, _clock = tracker()
    for again in range(2):
        with made.sending(FILE, "x", 100) as sending:
            sending.stage("hash")
            sending.read(50)
            sending.read(50)
            assert made.snapshot().current[0].bytes_sent == 0
        assert steps(made) == 3, again


def test_nobody_sets_what_follows_from_the_work() -> None:
    """A change of the script cannot just say that it gets on."""
    made, clock = tracker()
    for name in ("last_progress_at", "updated_at", "steps", "counts", "fruitless"):
        with pytest.raises(TypeError, match="can be set"):
            made.set(**{name: clock()})


def test_an_error_that_is_reported_again_is_not_a_new_one() -> None:
    """Whoever waits for a server has to ask it."""
    made, clock = tracker()
    error = ServerFault("no", retry_after=30)
    made.failed_with(error)
    clock.move(60)
    made.failed_with(error)
    seen = made.snapshot().last_error
    assert seen is not None
    assert (seen.at, seen.retry_after) == (NOW, 30)
    made.failed_with(ServerFault("no"))
    made.failed_with(ValueError("x"))
    seen = made.snapshot().last_error
    assert seen is not None
    assert (seen.at, seen.error_class, seen.retry_after) == (clock.now, "ValueError", 0)


def test_what_failed_without_a_reason_is_counted_until_a_file_arrives() -> None:
    """A refusal is no arrival and no such failure."""
    made, _clock = tracker()
    counted = []
    for outcome in (None, None, Outcome.FAILED, None, Outcome.DUPLICATE, None):
        if outcome is None:
            made.fruitless()
        else:
            made.settled(7, outcome, 1)
        counted.append(made.snapshot().fruitless)
    assert counted == [1, 2, 2, 3, 0, 1]
