"""The client of the task engine against engines that are restarted, hang, cut the line
or say nonsense."""

import asyncio
import time
from typing import Any

import pytest

from migration.errors import (
    ResponseLost,
)
from tests.support.network.enginecalls import SHORT, called
from tests.support.network.enginekit import Line

pytestmark = pytest.mark.integration


def test_an_engine_at_work_is_waited_for() -> None:
    """It answers pings, however long the task takes."""

    async def answers(line: Line, call: int, task: str, args: list[Any]) -> None:
        await line.say(["r", call, "t"], ["m", call, {"status": "started"}])

        async def later() -> None:
            await asyncio.sleep(2.5 * SHORT.silent)
            await line.say(["m", call, {"status": "success", "result": 10}])

        line.later = asyncio.create_task(later())

    assert called(answers) == 10


def test_a_message_that_drips_has_its_time_like_any_other() -> None:
    """A byte now and then is no frame: the call is lost when it would have been."""

    async def answers(line: Line, call: int, task: str, args: list[Any]) -> None:
        line.transport.write(b"\x81\x7f" + (1000).to_bytes(8, "big"))

        async def drip() -> None:
            while not line.transport.is_closing():
                line.transport.write(b"x")
                await asyncio.sleep(0.1)

        line.later = asyncio.create_task(drip())

    began = time.monotonic()
    assert isinstance(called(answers), ResponseLost)
    assert time.monotonic() - began < 20
