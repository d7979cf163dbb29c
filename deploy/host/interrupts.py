"""Ctrl-C, SIGTERM and SIGHUP while a start is under way: it ends what it has started.

Only between two steps: a process that is being started is first known to whoever has to
end it. What ends them is not interrupted again; it has a deadline.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(KeyboardInterrupt):
    """The start was asked to end; `status` is its exit status."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.status = 128 + number


class _Interrupts:
    """Of this process: whether one may come now, and whether one is waiting."""

    def __init__(self) -> None:
        self._held = 0
        self._waiting = 0
        self._over = False

    def begin(self) -> None:
        """Listens to all signals but those that whoever started this ignores."""
        self._held = self._waiting = 0
        self._over = False
        for number in _SIGNALS:
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._heard)

    def end(self) -> None:
        """Nothing is interrupted any more."""
        self._over = True

    def _heard(self, number: int, _frame: FrameType | None) -> None:
        if self._over:
            return
        self._waiting = number
        if not self._held:
            self._raise()

    def _raise(self) -> None:
        if self._waiting and not self._over:
            self._over = True
            raise Interrupted(self._waiting)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Nothing is interrupted inside, but at its end if it was asked for."""
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
        if not self._held:
            self._raise()

    @contextmanager
    def let_in(self) -> Iterator[None]:
        """Inside `held`: here it may be interrupted, at once if it was asked for."""
        held, self._held = self._held, 0
        try:
            self._raise()
            yield
        finally:
            self._held = held


_ours = _Interrupts()
begin, end, held, let_in = _ours.begin, _ours.end, _ours.held, _ours.let_in
