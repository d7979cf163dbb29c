"""Questions to the server that outlive its outages: retried, awaited, given up.

They are retried as uploads are, after 2, 4 and 8 s; then a server that does not answer
at all is waited for. A question that stays open although the server answers others is
left open.
"""

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
    """How long to wait for an answer; all in seconds except `tries` and `in_a_row`.

    `first` is the wait before the second try, and each further one is twice as long;
    `probe` is the interval between probes of a server that is away, and `longest` how
    long it may be away. After `in_a_row` open questions in a row each is asked only
    once, until one is answered.
    """

    first: float
    tries: int
    probe: float
    longest: float
    in_a_row: int = 3


class Unanswered(Transient):
    """The server left the question open.

    `gone`: because it has been away for too long.
    """

    code = "unanswered"

    def __init__(self, message: str, *, gone: bool = False) -> None:
        super().__init__(message)
        self.gone = gone


class Questions:
    """Asks questions, from several threads.

    `sleep` may raise. `waiting` is called with True when an outage begins, and False
    when it ends.
    """

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
        """Returns the answer.

        Raises Unanswered, and whatever `question` raises except Transient.
        """
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
        """Whether the server answers, so that only this question stays open.

        Waits for a server that is away, and returns False then. One thread waits for
        the server, the others wait for that thread.
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
    """Returns the seconds the server asked for with `Retry-After`, or 0."""
    error = state.outcome.exception() if state.outcome is not None else None
    return error.retry_after if isinstance(error, Transient) else 0.0
