"""The process of the direct lane as long as a worker lives: begun again when it broke.

When it cannot be had, the books go by the API, and the log says why.
"""

import logging
from collections.abc import Callable, Sequence
from typing import TypeVar

from migration.errors import Misconfigured, ServerFault, Transient
from migration.lanes.direct.child import Channel, HostBroke
from migration.lanes.direct.messages import (
    Failed,
    Recall,
    Recalled,
    Reply,
    Settle,
    Settled,
    Tidied,
    Tidy,
)
from migration.model import FileId, Receipt

#: After this many breaks without a batch between them the process is not begun again.
MOST_BREAKS = 3

R = TypeVar("R", bound=Reply)


class Link:
    """Used by the worker's main thread only."""

    def __init__(
        self,
        begin: Callable[[], Channel],
        log: logging.Logger,
        *,
        off: str = "",
        silent: bool = False,
        required: bool = False,
    ) -> None:
        """`begin` proves that all is this server's, then starts the process.

        It raises Misconfigured, with the reason, Transient or HostBroke. `off` says why
        there is no process to be begun; that is logged unless `silent`. When one is
        `required`, not having it is an error.
        """
        self._begin, self._log, self._required = begin, log, required
        self._off, self._silent = off, silent
        self._channel: Channel | None = None
        self._breaks = 0

    def channel(self) -> Channel | None:
        """Returns the process, begun if it is not; None when it cannot be had.

        Raises Transient, or Misconfigured when it is required.
        """
        if self._off and not self._silent:
            self._silent = True
            self._log.info("The books go by the API: %s", self._off)
        while not self._off and self._channel is None:
            try:
                self._channel = self._begin()
            except HostBroke as error:
                self.broke(error)
            except Misconfigured as error:
                self.turn_off(error)
        return self._channel

    def turn_off(self, why: Misconfigured) -> None:
        """Does without the process from now on. Raises the reason when it is required."""
        self.drop()
        self._off, self._silent = str(why), True
        if self._required:
            raise why
        self._log.warning("The books go by the API: %s", why)

    def broke(self, why: HostBroke) -> None:
        """Records that the process broke; after a few times in a row, it is given up."""
        self.drop()
        self._breaks += 1
        self._log.warning("The process of the direct lane broke: %s", why)
        if self._breaks >= MOST_BREAKS:
            self._off = f"its process broke {self._breaks} times"
            self._silent = True
            self._log.error("The books go by the API: the direct lane's %s", self._off)

    def worked(self) -> None:
        """Records that a batch came to its end."""
        self._breaks = 0

    def drop(self) -> None:
        """Ends the process; the next use begins another."""
        channel, self._channel = self._channel, None
        if channel is not None:
            channel.close()

    def settle(self, request: Settle) -> Settled | None:
        """Has the process settle a batch; None when there is no process.

        Raises Transient.
        """
        while (channel := self.channel()) is not None:
            try:
                channel.send(request)
                return expect(Settled, channel.receive())
            except HostBroke as error:
                self.broke(error)
            except Misconfigured as error:
                self.turn_off(error)
        return None

    def recall(self) -> Sequence[tuple[FileId, Receipt]]:
        """Returns more files that a lane has written; none when there are no more.

        Raises Transient, or Misconfigured when the process is required.
        """
        while (channel := self.channel()) is not None:
            try:
                channel.send(Recall())
                return expect(Recalled, channel.receive()).files
            except HostBroke as error:
                self.broke(error)
            except Misconfigured as error:
                self.turn_off(error)
        return ()

    def tidy(self) -> int:
        """Has doubles of names merged, if there is a process; returns how many.

        What fails is left to the next range. Raises Misconfigured when it is required.
        """
        channel = self._channel
        if channel is None:
            return 0
        try:
            channel.send(Tidy())
            return expect(Tidied, channel.receive()).merged
        except HostBroke as error:
            self.broke(error)
        except Misconfigured as error:
            self.turn_off(error)
        except Transient as error:
            self._log.info("Doubles of names are looked for later: %s", error)
        return 0


def expect(kind: type[R], reply: Reply) -> R:
    """Returns the reply if it is of this kind.

    Raises what it says has failed: Misconfigured or Transient; HostBroke for another.
    """
    if isinstance(reply, Failed):
        raise Misconfigured(reply.why) if reply.fatal else ServerFault(reply.why)
    if not isinstance(reply, kind):
        raise HostBroke(f"it answered {type(reply).__name__} for {kind.__name__}")
    return reply
