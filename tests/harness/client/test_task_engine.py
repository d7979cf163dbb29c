"""The client of the task engine against engines that are restarted, hang, cut the line
or say nonsense."""

import asyncio
import time
from typing import Any

import pytest
from aiohttp import web

from migration.errors import (
    MigrationError,
    RefusedByServer,
    ResponseLost,
    ServerFault,
    ServerUnreachable,
)
from migration.server.engine.backends import Backends
from migration.server.engine.frames import FRAME_BYTES
from migration.server.engine.socket import Unauthorized
from tests.support.network.enginecalls import SHORT, called, client
from tests.support.network.enginekit import EMPTY, Engine, Line, running


@pytest.mark.parametrize("begun", [False, True])
@pytest.mark.parametrize("empty_ends_as", ["error", "e"])
def test_a_call_the_new_engine_does_not_know_is_lost_within_seconds(
    begun: bool, empty_ends_as: str
) -> None:
    """Restarted while the call was queued or running: the new one answers a later call
    and not this one."""

    async def answers(line: Line, call: int, task: str, args: list[Any]) -> None:
        if line.number == 1:
            await line.say(
                ["r", call, "t"],
                *([["m", call, {"status": "started"}]] if begun else []),
            )
            line.cut()
        elif empty_ends_as == "e":
            await line.say(["e", call, "No task with name metadata", None])
        else:
            await line.end(call, status="error", error=EMPTY)

    began = time.monotonic()
    assert isinstance(lost := called(answers), ResponseLost)
    assert "forgotten by the task engine" in str(lost)
    assert time.monotonic() - began < 20


def test_a_call_that_still_waits_in_its_queue_survives_the_cut() -> None:
    """The later call is accepted but does not get its turn before this one: the engine
    is the same."""
    waiting: list[int] = []

    async def answers(line: Line, call: int, task: str, args: list[Any]) -> None:
        await line.say(["r", call, "t"])
        waiting.append(call)
        if line.number == 1:
            line.cut()
            return
        # Longer than a call that may be forgotten is waited for.
        await asyncio.sleep(3 * SHORT.settle)
        await line.say(
            ["m", waiting[0], {"status": "started"}],
            ["m", waiting[0], {"status": "success", "result": 7}],
        )

    assert called(answers) == 7


def test_a_result_that_was_kept_for_the_session_is_taken() -> None:
    """It is the first thing the engine says on the new connection."""

    async def answers(line: Line, call: int, task: str, args: list[Any]) -> None:
        if line.number == 1:
            await line.say(["r", call, "t"], ["m", call, {"status": "started"}])
            line.cut()
        else:
            await line.say(["m", 1, {"status": "success", "result": 8}])
            await line.end(call, status="error", error=EMPTY)

    with running(Engine(answers)) as engine:
        tasks = client(engine)
        assert tasks.call("metadata", ["tmp/x.epub", {}]) == 8
        tasks.close()
        assert (
            {line.session for line in engine.lines} == {engine.lines[0].session} != {""}
        )


def test_a_connection_that_was_closed_between_two_calls_is_opened_anew() -> None:
    """The engine was restarted while the worker did something else: nothing is lost for
    that."""

    async def answers(line: Line, call: int, task: str, args: list[Any]) -> None:
        await line.end(call, status="success", result=line.number)
        await asyncio.sleep(0.1)
        line.cut()

    with running(Engine(answers)) as engine:
        tasks = client(engine)
        results = []
        for _ in range(3):
            results.append(tasks.call("metadata", ["tmp/x.epub", {}]))
            time.sleep(0.4)
        tasks.close()
    assert results == [1, 2, 3]


@pytest.mark.parametrize("status", [404, 502, 503])
def test_an_engine_that_is_gone_has_forgotten_everything(status: int) -> None:
    """Only a proxy answers: nothing is waited for."""

    async def answers(line: Line, call: int, task: str, args: list[Any]) -> None:
        await line.say(["r", call, "t"])
        line.cut()

    began = time.monotonic()
    lost = called(
        answers,
        refuse=lambda number: web.Response(status=status) if number > 1 else None,
    )
    assert isinstance(lost, ResponseLost)
    assert time.monotonic() - began < SHORT.resume + 15


def test_a_line_that_is_dead_without_a_word_is_found_by_its_pings() -> None:
    """The first connection hangs; over a new one the result is there."""

    async def answers(line: Line, call: int, task: str, args: list[Any]) -> None:
        if line.number == 1:
            await line.say(["r", call, "t"], ["m", call, {"status": "started"}])
        else:
            await line.say(["m", 1, {"status": "success", "result": 9}])

    assert called(answers, pongs=False) == 9


@pytest.mark.parametrize(
    "noise", ["", "null", "[1, 2]", '["m", 1, {"status": "progress"}]', "[" * 50_000]
)
def test_nonsense_between_the_frames_says_nothing(noise: str) -> None:
    """Neither an answer nor the end of the connection."""

    async def answers(line: Line, call: int, task: str, args: list[Any]) -> None:
        await line.say(["r", call, "t"])
        await line.socket.send_str(noise)
        await line.socket.send_bytes(b'["m", 1, {"status": "success", "result": 1}]')
        await line.say(["m", call, {"status": "success", "result": 11}])

    assert called(answers) == 11


def test_a_message_without_end_ends_the_connection() -> None:
    """Its size is announced, or it drips: both are bounded."""

    async def answers(line: Line, call: int, task: str, args: list[Any]) -> None:
        # A text frame of 64 bits of length, of which more than is read arrives.
        line.transport.write(
            b"\x81\x7f" + (2**40).to_bytes(8, "big") + b"x" * (FRAME_BYTES + 200_000)
        )

    assert isinstance(called(answers), ResponseLost)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (
            'null value in column "format_id" of relation "upload" violates not-null constraint',
            RefusedByServer,
        ),
        (
            'could not translate host name "db" to address: Name or service not known',
            ServerFault,
        ),
        ("whatever it may be", ServerFault),
    ],
)
def test_what_a_task_says(error: str, kind: type[MigrationError]) -> None:
    """Refused only where it is known to be about this file."""

    async def answers(line: Line, call: int, task: str, args: list[Any]) -> None:
        await line.end(call, status="error", error=error)

    assert type(called(answers)) is kind


def test_a_redirect_is_not_followed_and_a_page_of_a_proxy_is_no_refusal_of_the_token() -> (
    None
):
    """The token would go wherever the redirect points; and a portal's 401 is not the
    engine's."""

    async def answers(line: Line, call: int, task: str, args: list[Any]) -> None:
        await line.end(call, status="success", result=1)

    elsewhere = {"Location": "/ws?elsewhere"}
    assert isinstance(
        called(answers, refuse=lambda _n: web.Response(status=302, headers=elsewhere)),
        ServerUnreachable,
    )
    assert isinstance(
        called(answers, refuse=lambda _n: web.Response(status=401, text="<html>")),
        ServerUnreachable,
    )
    own = "401: Unauthorized"
    assert isinstance(
        called(answers, refuse=lambda _n: web.Response(status=401, text=own)),
        Unauthorized,
    )


@pytest.mark.parametrize(
    ("empty", "look", "fine"),
    [
        (["error", EMPTY], ["error", "Cannot convert from format None"], True),
        (["error", EMPTY], ["e", "No task with name convert"], True),
        (
            ["error", EMPTY],
            ["error", 'could not translate host name "db" to address: Name not known'],
            False,
        ),
        (["e", "No task with name metadata"], ["e", "No task with name convert"], True),
    ],
)
def test_a_probe_asks_the_engine_and_its_database(
    empty: list[str], look: list[str], fine: bool
) -> None:
    """Both calls change nothing."""
    seen: list[tuple[str, list[Any]]] = []

    async def answers(line: Line, call: int, task: str, args: list[Any]) -> None:
        seen.append((task, args))
        kind, error = look if task else empty
        if kind == "e":
            await line.say(["e", call, error, None])
        else:
            await line.end(call, status="error", error=error)

    with running(Engine(answers)) as engine:
        if fine:
            client(engine).probe()
        else:
            with pytest.raises(ServerFault, match="does not reach its database"):
                client(engine).probe()
    assert seen == [("", []), ("convert", [0, "epub"])]


def test_an_engine_that_answers_nothing_is_said_while_it_is_waited_for() -> None:
    """Half a second in place of thirty: then the worker knows, although its thread
    still waits."""
    backends = Backends(silent_seconds=0.5)
    said: list[str] = []

    async def answers(line: Line, call: int, task: str, args: list[Any]) -> None:
        await line.say(["r", call, "t"])
        await asyncio.sleep(1.0)
        said.append(backends.silent())
        await line.say(["m", call, {"status": "success", "result": 12}])

    with running(Engine(answers)) as engine:
        tasks = client(engine, backends)
        assert tasks.call("metadata", ["tmp/x.epub", {}]) == 12
        tasks.close()
    assert said == ["the task engine has answered nothing for 1 s"]
    assert backends.silent() == ""
