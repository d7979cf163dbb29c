"""Ids of the server's tables only grow: one that is made now lies above every one that
was seen before."""

import threading

from migration.errors import ResponseLost


class Sequence:
    """The ids of one table, as far as this process has seen them. Thread-safe.

    An answer that names an older one belongs to another request: a cache kept it, or a
    proxy mixed up two connections."""

    def __init__(self, what: str) -> None:
        """`what` is made with these ids, for the message."""
        self._what = what
        self._highest = 0
        self._lock = threading.Lock()

    @property
    def highest(self) -> int:
        """The highest id seen so far, 0 before any; read it before a request leaves."""
        return self._highest

    def seen(self, number: int) -> None:
        """There is one with this id."""
        with self._lock:
            self._highest = max(self._highest, number)

    def made(self, number: int, before: int) -> int:
        """The id of what a request has made, which left when `before` was the highest.
        Raises AnswerLost."""
        if number <= before:
            raise ResponseLost(
                f"the server says that it made {self._what} {number}, which was "
                "there before; that is the answer to "
                "another request"
            )
        self.seen(number)
        return number
