"""The task engine's frames: what counts as one, and how long to wait for the next."""

import json

import pytest

from migration.server.engine.backends import Backend, Waiting, silent
from migration.server.engine.frames import (
    FRAME_BYTES,
    CallState,
    Frame,
    FrameKind,
    TaskTimeouts,
    gives_up_at,
    parse,
)

P = TaskTimeouts(
    accept=30, queue=1800, run=120, settle=10, ping=10, silent=30, resume=45
)
TASK = "0" * 32


@pytest.mark.parametrize(
    ("frame", "meant"),
    [
        (["r", 1, TASK], Frame(1, FrameKind.ACCEPTED)),
        (["m", 1, {"status": "started", "task_id": TASK}], Frame(1, FrameKind.STARTED)),
        (
            ["m", 1, {"status": "success", "result": 41, "duration": 1.2}],
            Frame(1, FrameKind.SUCCESS, 41),
        ),
        (
            ["m", 1, {"status": "error", "error": "no", "duration": None}],
            Frame(1, FrameKind.ERROR, "no"),
        ),
        (
            ["e", 3, "No task with name nosuch", None],
            Frame(3, FrameKind.UNKNOWN, "No task with name nosuch"),
        ),
    ],
)
def test_a_frame_of_the_protocol(frame: list[object], meant: Frame) -> None:
    """Each as it was captured from the real engine."""
    assert parse(json.dumps(frame).encode()) == meant


@pytest.mark.parametrize(
    "text",
    [
        "",
        "null",
        "[]",
        "{}",
        "<html>",
        '["r", 1]',
        '["r", "1", "x"]',
        '["r", true, "x"]',
        '["r", 1.0, "x"]',
        '["r", 1, null]',
        '["x", 1, "y"]',
        '[["r"], 1, "y"]',
        '["m", 1, "success"]',
        '["m", 1, {}]',
        '["m", 1, {"status": "success"}]',
        '["m", 1, {"status": "success", "result": null}]',
        '["m", 1, {"status": "success", "result": "41"}]',
        '["m", 1, {"status": "success", "result": true}]',
        '["m", 1, {"status": "success", "result": NaN}]',
        '["m", 1, {"status": "success", "result": -1}]',
        '["m", 1, {"status": "success", "result": 1e3}]',
        '["m", 1, {"status": "success", "result": 9223372036854775808}]',
        '["m", 1, {"status": ["success"], "result": 41}]',
        '["m", 1, {"status": "error", "error": null}]',
        '["m", 1, {"status": "progress", "progress": 0.3}]',
        '["e", 1, {"a": 1}]',
        "[" * 100_000,
        '["r", ' + "9" * 5000 + ', "x"]',
        '["r", 1, "' + "x" * FRAME_BYTES + '"]',
        "\udc80",
    ],
)
def test_whatever_else_says_nothing(text: str) -> None:
    """It is no answer, so it moves no deadline."""
    assert parse(text.encode("utf-8", "surrogateescape")) is None


SENT = CallState(sent=100.0)
ACCEPTED = SENT.after(FrameKind.ACCEPTED, 101.0)
STARTED = ACCEPTED.after(FrameKind.STARTED, 105.0)
OVERTAKEN = ACCEPTED.gone(200.0).after_witness(Frame(2, FrameKind.STARTED), 202.0)


@pytest.mark.parametrize(
    ("call", "at"),
    [
        (SENT, 130.0),
        (ACCEPTED, 1901.0),
        (STARTED, 225.0),
        (SENT.after(FrameKind.STARTED, 105.0), 225.0),
        # Said again and again it buys no time.
        (STARTED.after(FrameKind.STARTED, 220.0), 225.0),
        (ACCEPTED.after(FrameKind.ACCEPTED, 1000.0), 1901.0),
        # A new connection on which nothing is said at all.
        (ACCEPTED.gone(200.0), 230.0),
        (STARTED.gone(110.0), 140.0),
        # A later call waits there too: this one may well be in the same queue.
        (
            ACCEPTED.gone(200.0).after_witness(Frame(2, FrameKind.ACCEPTED), 201.0),
            1901.0,
        ),
        (STARTED.gone(110.0).after_witness(Frame(2, FrameKind.ACCEPTED), 111.0), 225.0),
        # A later call had its turn before this one: the engine does not know it, or is
        # about to tell its end.
        (OVERTAKEN, 212.0),
        (
            STARTED.gone(110.0).after_witness(
                Frame(2, FrameKind.ERROR, "tuple index out of range"), 112.0
            ),
            122.0,
        ),
        (
            ACCEPTED.gone(200.0).after_witness(
                Frame(2, FrameKind.UNKNOWN, "No task with name metadata"), 202.0
            ),
            212.0,
        ),
        (
            ACCEPTED.gone(200.0).after_witness(
                Frame(2, FrameKind.UNKNOWN, "QueueFull()"), 202.0
            ),
            1901.0,
        ),
        # Only the first turn counts; a second reconnect begins anew.
        (OVERTAKEN.after_witness(Frame(2, FrameKind.ERROR, ""), 209.0), 212.0),
        (OVERTAKEN.gone(205.0), 235.0),
        # A probe on another connection had its turn: what was queued before it is
        # forgotten, what runs may be long.
        (ACCEPTED.passed_by(150.0, 151.0), 161.0),
        (ACCEPTED.passed_by(99.0, 151.0), 1901.0),
        (STARTED.passed_by(150.0, 151.0), 225.0),
        (SENT.passed_by(120.0, 121.0), 130.0),
        (OVERTAKEN.passed_by(300.0, 301.0), 212.0),
    ],
)
def test_how_long_to_wait(call: CallState, at: float) -> None:
    """The queue's half hour is for a call the engine knows; one that it may have
    forgotten is lost within seconds."""
    assert gives_up_at(call, P) == at


def parts(
    app: tuple[list[float], float], engine: tuple[list[float], float]
) -> dict[Backend, Waiting]:
    """Since when each is waited for, and when it was heard last."""
    return {Backend.APP: Waiting(*app), Backend.ENGINE: Waiting(*engine)}


@pytest.mark.parametrize(
    ("app", "engine", "said"),
    [
        (([], 0.0), ([], 0.0), ""),
        (([99.0], 98.0), ([95.0], 90.0), ""),
        (
            ([], 99.0),
            ([70.0], 60.0),
            "the task engine has answered nothing for 30 s, others do",
        ),
        (([], 99.0), ([70.0], 75.0), ""),
        (
            ([60.0], 50.0),
            ([60.0], 65.0),
            "the web server has answered nothing for 40 s",
        ),
        (
            ([40.0, 99.0], 20.0),
            ([], 99.0),
            "the web server has answered nothing for 60 s, others do",
        ),
        (([], 10.0), ([], 10.0), ""),
    ],
)
def test_a_part_that_answers_nobody_is_said(
    app: tuple[list[float], float], engine: tuple[list[float], float], said: str
) -> None:
    """Only while somebody waits for it; whoever it answers, it lives."""
    assert silent(parts(app, engine), 100.0) == said
