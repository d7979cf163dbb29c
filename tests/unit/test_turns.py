"""Whose turn it is."""

from datetime import UTC, datetime, timedelta

from migration.lanes.lane import Work
from migration.model import Book, BookId, Card
from migration.worker.work_queue import SOON, Turns

NOW = datetime(2026, 11, 24, tzinfo=UTC)


class Clock:
    """A clock that moves when told."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


def work(number: int) -> Work:
    """A book without files."""
    return Work(Book(BookId(number), "t"), Card("t", "t", (), None, None, 1, "en", (), None), [])


def test_books_come_in_order_and_the_range_is_through_when_all_are() -> None:
    """First in, first out."""
    turns = Turns(Clock())
    books = [work(1), work(2)]
    turns.load(books)
    assert [turns.take(), turns.take()] == books
    assert not turns.wait(0)
    for book in books:
        turns.settle(book)
    assert turns.wait(0)


def test_a_book_put_aside_comes_again_when_it_is_due_and_not_before() -> None:
    """Others go on meanwhile."""
    clock = Clock()
    turns = Turns(clock)
    first, second = work(1), work(2)
    turns.load([first, second])
    assert turns.take() is first
    turns.put_aside(first, NOW + timedelta(seconds=40))
    assert turns.take() is second
    turns.settle(second)
    assert not turns.wait(0)
    clock.now = NOW + timedelta(seconds=40)
    assert turns.take() is first


def test_a_book_put_aside_without_a_time_comes_soon() -> None:
    """After a moment."""
    clock = Clock()
    turns = Turns(clock)
    book = work(1)
    turns.load([book])
    assert turns.take() is book
    turns.put_aside(book, None)
    clock.now = NOW + SOON
    assert turns.take() is book


def test_a_stopped_worker_takes_nothing_and_forgets_what_waits() -> None:
    """Only what is in hand is left."""
    turns = Turns(Clock())
    first, second = work(1), work(2)
    turns.load([first, second])
    assert turns.take() is first
    turns.stop()
    assert turns.take() is None
    turns.drop_waiting()
    assert turns.active() == [first]


def test_it_is_idle_when_everything_left_is_put_aside() -> None:
    """Then there is nothing to do but wait."""
    turns = Turns(Clock())
    first, second = work(1), work(2)
    assert not turns.idle()
    turns.load([first, second])
    assert not turns.idle()
    turns.take()
    turns.put_aside(first, NOW + timedelta(hours=1))
    assert not turns.idle()
    turns.take()
    assert not turns.idle()
    turns.settle(second)
    assert turns.idle()


def test_a_range_is_held_until_its_last_book_is_settled_and_room_is_told_before() -> None:
    """So the next range can be read while the last books of this one are on their way."""
    clock = Clock()
    turns = Turns(clock)
    turns.load([work(1), work(2)])
    assert not turns.has_room(2)
    first, second = turns.take(), turns.take()
    assert first is not None
    assert second is not None
    assert turns.has_room(2)
    turns.load([work(5)])
    turns.put_aside(first, None)
    turns.settle(second)
    assert [turns.holds(1, 2), turns.holds(3, 4), turns.holds(5, 9)] == [True, False, True]
    clock.now += SOON
    turns.take()
    again = turns.take()
    assert again is first
    turns.settle(first)
    assert not turns.holds(1, 2)
