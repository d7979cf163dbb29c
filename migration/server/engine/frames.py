"""The frames of the task engine, and how long to wait for the next one. Pure.

Times are seconds of a steady clock. `["r", id, task]` means accepted, `["m", id,
{"status": …}]` reports progress or the end, and `["e", id, text, trace]` means that
there is no such task. Anything else says nothing, however often it comes: it moves no
deadline.
"""

import json
from dataclasses import dataclass, replace
from enum import Enum, auto

from common.json_value import Json

#: The largest frame accepted, in bytes. An error may quote a whole book's metadata,
#: twice.
FRAME_BYTES = 4_000_000


class FrameKind(Enum):
    """What a frame says about its call."""

    ACCEPTED = auto()
    STARTED = auto()
    SUCCESS = auto()
    ERROR = auto()  #: the task ended with an error
    UNKNOWN = auto()  #: no task: the call itself was refused


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame; `value` is the result or the error's text."""

    call: int
    kind: FrameKind
    value: Json = None


@dataclass(frozen=True, slots=True)
class TaskTimeouts:
    """Seconds to wait in each state."""

    accept: float  #: for the engine to accept a call
    queue: float  #: for an accepted call to start; administrators' come last
    run: float  #: for a started task to end
    #: for a call the engine may have forgotten to end, once a later call had its turn
    settle: float
    ping: float  #: after such a silence the connection is tested
    silent: float  #: after so long without a byte, even a pong, it is dead
    resume: float  #: how long the engine keeps what it could not send


@dataclass(frozen=True, slots=True)
class CallState:
    """What is known of a call that has not ended.

    `resumed` is when its connection was reopened, `overtaken` when a later call on that
    connection had its turn.
    """

    sent: float
    accepted: float | None = None
    started: float | None = None
    resumed: float | None = None
    asked: float | None = None
    overtaken: float | None = None

    def after(self, kind: FrameKind, now: float) -> "CallState":
        """Returns the state after a frame of this call.

        The first of each kind counts.
        """
        heard = self if self.accepted is not None else replace(self, accepted=now)
        if kind is FrameKind.STARTED and heard.started is None:
            return replace(heard, started=now)
        return heard

    def after_witness(self, frame: "Frame", now: float) -> "CallState":
        """Returns the state after a frame of the later call, the witness.

        A full queue does not say which calls are in it.
        """
        if frame.kind is FrameKind.ACCEPTED or (
            frame.kind is FrameKind.UNKNOWN and "QueueFull" in str(frame.value)
        ):
            return self if self.asked is not None else replace(self, asked=now)
        return self if self.overtaken is not None else replace(self, overtaken=now)

    def passed_by(self, began: float, ended: float) -> "CallState":
        """Returns the state once a call begun at `began` has ended on any connection.

        A call that was sent before it, and still has not had its turn, is not in the
        queue any more.
        """
        if (
            self.accepted is None
            or self.started is not None
            or self.sent >= began
            or self.overtaken is not None
        ):
            return self
        return replace(self, resumed=self.resumed or began, overtaken=ended)

    def gone(self, now: float) -> "CallState":
        """Returns the state after a reconnect: the engine may be a new one."""
        return replace(self, resumed=now, asked=None, overtaken=None)


def gives_up_at(call: CallState, timeouts: TaskTimeouts) -> float:
    """Returns when the answer counts as lost.

    After a reconnect the engine may be a new one, which does not know the call. A
    user's calls have their turns in order: once a later one had its turn, this one is
    running, has ended, or is unknown.
    """
    if call.accepted is None:
        return call.sent + timeouts.accept
    limit = (
        call.accepted + timeouts.queue
        if call.started is None
        else call.started + timeouts.run
    )
    if call.resumed is None:
        return limit
    if call.overtaken is not None:
        return min(limit, call.overtaken + timeouts.settle)
    if call.asked is None:
        return min(limit, call.resumed + timeouts.accept)
    return limit


def parse(data: bytes) -> Frame | None:
    """Parses a text message; returns None when it says nothing."""
    try:
        frame = json.loads(data) if len(data) <= FRAME_BYTES else None
    except (ValueError, RecursionError):
        return None
    if not isinstance(frame, list) or len(frame) < 3 or type(frame[1]) is not int:
        return None
    match frame[0], frame[2]:
        case "r", str():
            return Frame(frame[1], FrameKind.ACCEPTED)
        case "e", str() as error:
            return Frame(frame[1], FrameKind.UNKNOWN, error)
        case "m", dict() as payload:
            return _update(frame[1], payload)
    return None


def _update(call: int, payload: dict[str, Json]) -> Frame | None:
    status, result, error = (
        payload.get("status"),
        payload.get("result"),
        payload.get("error"),
    )
    if status == "started":
        return Frame(call, FrameKind.STARTED)
    if status == "success" and _is_number(result):
        return Frame(call, FrameKind.SUCCESS, result)
    if status == "error" and isinstance(error, str):
        return Frame(call, FrameKind.ERROR, error)
    return None


def _is_number(value: Json) -> bool:
    """Both tasks that a migration calls return an id."""
    return type(value) is int and 0 < value < 2**63
