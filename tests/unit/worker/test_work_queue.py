"""The work queue of the uploader threads."""

from datetime import UTC, datetime, timedelta

from migration.lanes.lane import Work
from migration.model import Book, BookId, EbookMetadata
from migration.worker.threads.work_queue import SOON, WorkQueue

NOW = datetime(2026, 11, 24, tzinfo=UTC)


class Clock:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


def work(number: int) -> Work:
    """A book without files."""
    return Work(
        Book(BookId(number), "t"),
        EbookMetadata("t", "t", (), None, None, 1, "en", (), None),
        [],
    )


def test_books_come_in_order_and_the_range_is_through_when_all_are() -> None:
    """First in, first out."""
    queue = WorkQueue(Clock())
    books = [work(1), work(2)]
    queue.load(books)
    assert [queue.get(), queue.get()] == books
    assert not queue.wait(0)
    for book in books:
        queue.done(book)
    assert queue.wait(0)


def test_a_book_deferred_comes_again_when_it_is_due_and_not_before() -> None:
    """Others go on meanwhile."""
    clock = Clock()
    queue = WorkQueue(clock)
    first, second = work(1), work(2)
    queue.load([first, second])
    assert queue.get() is first
    queue.defer(first, NOW + timedelta(seconds=40))
    assert queue.get() is second
    queue.done(second)
    assert not queue.wait(0)
    clock.now = NOW + timedelta(seconds=40)
    assert queue.get() is first


def test_a_book_deferred_without_a_time_comes_soon() -> None:
    """After a moment."""
    clock = Clock()
    queue = WorkQueue(clock)
    book = work(1)
    queue.load([book])
    assert queue.get() is book
    queue.defer(book, None)
    clock.now = NOW + SOON
    assert queue.get() is book


def test_a_stopped_worker_takes_nothing_and_forgets_what_waits() -> None:
    """Only what is in hand is left."""
    queue = WorkQueue(Clock())
    first, second = work(1), work(2)
    queue.load([first, second])
    assert queue.get() is first
    queue.stop()
    assert queue.get() is None
    queue.drop_waiting()
    assert queue.active() == [first]


def test_it_is_idle_when_everything_left_is_deferred() -> None:
    """Then there is nothing to do but wait."""
    queue = WorkQueue(Clock())
    first, second = work(1), work(2)
    assert not queue.idle()
    queue.load([first, second])
    assert not queue.idle()
    queue.get()
    queue.defer(first, NOW + timedelta(hours=1))
    assert not queue.idle()
    queue.get()
    assert not queue.idle()
    queue.done(second)
    assert queue.idle()


def test_a_range_is_held_until_its_last_book_is_settled_and_room_is_told_before() -> (
    None
):
    """So the next range can be read while the last books of this one are on their
    way."""
    clock = Clock()
    queue = WorkQueue(clock)
    queue.load([work(1), work(2)])
    assert not queue.has_room(2)
    first, second = queue.get(), queue.get()
    assert first is not None
    assert second is not None
    assert queue.has_room(2)
    queue.load([work(5)])
    queue.defer(first, None)
    queue.done(second)
    assert [queue.holds(1, 2), queue.holds(3, 4), queue.holds(5, 9)] == [
        True,
        False,
        True,
    ]
    clock.now += SOON
    queue.get()
    again = queue.get()
    assert again is first
    queue.done(first)
    assert not queue.holds(1, 2)
