"""Calls of the task engine by a client with short patience."""

from typing import Any

from migration.errors import (
    MigrationError,
)
from migration.server.engine.backends import Backends
from migration.server.engine.calls import TaskEngine
from migration.server.engine.frames import TaskTimeouts
from migration.server.engine.socket import Unauthorized
from tests.support.network.enginekit import Answers, Engine, running

#: Every wait as short as a loaded machine allows; the queue's is long, as the real one.
SHORT = TaskTimeouts(
    accept=2.0, queue=60.0, run=60.0, settle=0.3, ping=0.3, silent=1.0, resume=3.0
)


def client(engine: Engine, backends: Backends | None = None) -> TaskEngine:
    """The client under test."""
    return TaskEngine((engine.url,), lambda: "token", backends, SHORT)


def called(answers: Answers, **more: Any) -> Any:
    """What a call of `metadata` comes to: its result or its error."""
    with running(Engine(answers, **more)) as engine:
        tasks = client(engine)
        try:
            return tasks.call("metadata", ["tmp/x.epub", {}])
        except (MigrationError, Unauthorized) as error:
            return error
        finally:
            tasks.close()
