"""Questions to the server that outlive its outages: tried again, waited for, and given
up with a word.

As uploads are: after 2, 4 and 8 s; then, when the server does not answer at all, it is
waited for. A question that it leaves open although it answers others stays open."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from common.lazily import tenacity
from migration.errors import Transient

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long an answer is waited for; all in seconds but `tries`.

    `first` is the wait before the second try, each further one is twice as long;
    `probe` lies between two looks at a server that is away; `longest` is how long it
    may be away. Questions that stay open `in_a_row` times are asked once each from then
    on, until one is answered."""

    first: float
    tries: int
    probe: float
    longest: float
    in_a_row: int = 3


class Unanswered(Transient):
    """The server left the question open; `gone`: because it has been away for too
    long."""

    code = "unanswered"

    def __init__(self, message: str, *, gone: bool = False) -> None:
        super().__init__(message)
        self.gone = gone


class Questions:
    """Asks from several threads. `sleep` may raise; `waiting` is told True when an
    outage begins, False at its end."""

    def __init__(
        self,
        probe: Callable[[], bool],
        sleep: Callable[[float], None],
        policy: RetryPolicy,
        waiting: Callable[[bool], None],
    ) -> None:
        self._probe = probe
        self._sleep = sleep
        self._policy = policy
        self._waiting = waiting
        self._outage = threading.Lock()
        self._open_in_a_row = 0
        self._gone = ""

    def ask(self, question: Callable[[], T]) -> T:
        """The answer. Raises Unanswered, and what `question` raises but for
        Transient."""
        for _outage in range(self._policy.tries):
            if self._gone:
                raise Unanswered(f"not asked: {self._gone}", gone=True)
            try:
                response = self._tried(question)
            except Transient as error:
                if self._is_there():
                    self._open_in_a_row += 1
                    raise Unanswered(str(error)) from error
            else:
                self._open_in_a_row = 0
                return response
        raise Unanswered("the server went away again and again while it was asked")

    def _tried(self, question: Callable[[], T]) -> T:
        tries = self._policy.tries if self._open_in_a_row < self._policy.in_a_row else 1
        doubling = tenacity.wait_exponential(multiplier=self._policy.first)
        retrying = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(tries),
            wait=lambda state: max(doubling(state), _asked_for(state)),
            retry=tenacity.retry_if_exception_type(Transient),
            sleep=self._sleep,
            reraise=True,
        )
        return retrying(question)

    def _is_there(self) -> bool:
        """Does the server answer, so that only this question stays open? Waits for one
        that is away; False then.

        One thread waits, the others wait for it.
        """
        with self._outage:
            if self._gone:
                return False
            if self._probe():
                return True
            self._waiting(True)
            away_since = time.monotonic()
            while time.monotonic() - away_since < self._policy.longest:
                self._sleep(self._policy.probe)
                if self._probe():
                    self._waiting(False)
                    return False
            self._gone = f"the server has not answered for {self._policy.longest:g} s"
            return False


def _asked_for(state: "tenacity.RetryCallState") -> float:
    """The seconds that a server which has trouble asked for with its answer
    (`Retry-After`)."""
    error = state.outcome.exception() if state.outcome is not None else None
    return error.retry_after if isinstance(error, Transient) else 0.0
