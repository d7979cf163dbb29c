"""Ids of the server's tables only grow: a new one is above every one seen before."""

import threading

from migration.errors import ResponseLost


class Sequence:
    """The ids of one table, as far as this process has seen them. Thread-safe.

    An answer that names an older id belongs to another request: a cache kept it, or a
    proxy mixed up two connections.
    """

    def __init__(self, what: str) -> None:
        """`what` names the things that have these ids, for the message."""
        self._what = what
        self._highest = 0
        self._lock = threading.Lock()

    @property
    def highest(self) -> int:
        """The highest id seen so far, 0 before any.

        Read it before sending a request.
        """
        return self._highest

    def seen(self, number: int) -> None:
        """Records an id that exists."""
        with self._lock:
            self._highest = max(self._highest, number)

    def made(self, number: int, before: int) -> int:
        """Returns the id of what a request made; `before` was the highest id before it.

        Raises ResponseLost when the id is not new.
        """
        if number <= before:
            raise ResponseLost(
                f"the server says that it made {self._what} {number}, which was "
                "there before; that is the answer to "
                "another request"
            )
        self.seen(number)
        return number
