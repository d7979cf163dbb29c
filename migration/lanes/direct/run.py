"""One range on its way through the process of the direct lane, batch after batch."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from migration.lanes.direct.child import Channel
from migration.lanes.direct.facts import new_book
from migration.lanes.direct.journals import InHand, Journals
from migration.lanes.direct.link import expect
from migration.lanes.direct.messages import (
    DidPlace,
    Draw,
    Drew,
    Place,
    Write,
    Wrote,
)
from migration.lanes.direct.watcher import Watcher
from migration.lanes.lane import Work
from migration.model import BookId, FileId
from migration.server.direct.batch import Placed, Refused, Written


@dataclass(slots=True)
class Run:
    """Carries batches until there are no more, or something raises.

    `groups` are the batches. `look_at` is given the first book that was written, before
    it is accounted for. `in_hand` are the tokens that this process is at.
    """

    channel: Channel
    journals: Journals
    watcher: Watcher
    groups: Iterator[Sequence[Work]]
    look_at: Callable[[Written, Placed], None]
    in_hand: set[int]
    now: Callable[[], float]
    #: Books that the API has to send.
    returned: list[Work] = field(default_factory=list)
    #: Books that were not begun because of a limit.
    held_back: list[Work] = field(default_factory=list)
    _current: InHand | None = None
    _following: InHand | None = None
    _previous: InHand | None = None

    def go(self) -> None:
        """Carries all batches. Raises what the process or the worker raises."""
        self._current = self._draw()
        while (hand := self._current) is not None:
            self._place(hand)
            # Meanwhile the process is at the files of the batch in hand.
            self._account()
            self._write(hand)
            self._current, self._previous = self._following, hand
            self._following = None
        self._account()

    def leave(self) -> None:
        """Accounts for what was written when the rest came to nothing."""
        self._account()
        self.watcher.end()
        if self._current is not None and self._current.batch is not None:
            self.in_hand.discard(self._current.batch.token)

    def touched(self) -> list[Work]:
        """Returns the books of the batch that was under way."""
        hand = self._current
        return [] if hand is None or hand.batch is None else [*hand.works.values()]

    def untouched(self) -> list[Work]:
        """Returns the books of which nothing is recorded."""
        drawn = [
            work
            for hand in (self._current, self._following)
            if hand is not None and hand.batch is None
            for work in hand.works.values()
        ]
        return [*drawn, *self.held_back, *(work for one in self.groups for work in one)]

    def _draw(self) -> InHand | None:
        """Asks for ids and folders of the next batch."""
        works = next(self.groups, None)
        if works is None:
            return None
        if not self.watcher.may_begin(works):
            self.held_back += works
            self.held_back += (work for one in self.groups for work in one)
            return None
        hand = InHand({work.book.id: work for work in works}, self.now())
        self.channel.send(
            Draw(tuple(new_book(work, self.journals.wanted(work)) for work in works))
        )
        return hand

    def _place(self, hand: InHand) -> None:
        """Records what was drawn, then has the files placed."""
        drew = expect(Drew, self.channel.receive())
        self.watcher.begin([*hand.works.values()])
        self._return(hand, drew.books)
        drawn = self.journals.begin(hand, drew.books)
        if hand.batch is not None:
            self.in_hand.add(hand.batch.token)
            self.channel.send(Place(hand.batch.token, tuple(drawn)))

    def _write(self, hand: InHand) -> None:
        """Claims what was placed, then has the rows written; draws the next batch."""
        if hand.batch is None:
            self._following = self._draw()
            return
        done = expect(DidPlace, self.channel.receive())
        self._return(hand, done.books)
        refused = self.journals.claim(hand, done.books)
        self._return(hand, [Refused(book, "") for book in refused])
        self.channel.send(Write(hand.batch.token, refused))
        self._following = self._draw()
        wrote = expect(Wrote, self.channel.receive())
        self._return(hand, wrote.books)
        self.watcher.end()
        written = [one for one in wrote.books if isinstance(one, Written)]
        if written:
            self.look_at(written[0], hand.placed[written[0].book])
        hand.written = {one.book: one for one in written}

    def _account(self) -> None:
        """Accounts for the batch that was written last."""
        hand, self._previous = self._previous, None
        if hand is None or hand.batch is None:
            return
        settled = self.journals.end(hand)
        self.in_hand.discard(hand.batch.token)
        seconds = (self.now() - hand.begun_at) / max(1, len(settled))
        by_book: dict[BookId, list[FileId]] = {}
        for file in settled:
            by_book.setdefault(file.book_id, []).append(file)
        for book in hand.written:
            work = hand.works[book]
            self.watcher.arrived(work, by_book.get(book, ()), seconds)
            work.files.clear()

    def _return(self, hand: InHand, done: Sequence[object]) -> None:
        """Gives back the books that this lane cannot carry."""
        for one in done:
            if isinstance(one, Refused):
                self.returned.append(hand.works[one.book])
                if one.why:
                    self.journals.tell_refused(one)
