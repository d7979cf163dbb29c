"""How a worker steps behind other programs."""

from collections.abc import Callable

import psutil
import pytest

from migration.errors import Misconfigured
from migration.worker.process import priority


class Process:
    """Notes what it is given; raises what it is told to."""

    def __init__(self, error: Exception | None = None) -> None:
        self.error = error
        self.given: list[tuple[object, ...]] = []

    def nice(self, value: int) -> None:
        """The processor."""
        self._take("nice", value)

    def ionice(self, kind: object, value: int | None) -> None:
        """The disk."""
        self._take("ionice", kind, value)

    def _take(self, *values: object) -> None:
        if self.error is not None:
            raise self.error
        self.given.append(values)


@pytest.fixture
def process(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Process]:
    """What psutil says this process is."""

    def make(error: Exception | None = None) -> Process:
        made = Process(error)
        monkeypatch.setattr(psutil, "Process", lambda: made)
        return made

    return make


@pytest.mark.parametrize(
    ("nice", "ionice", "given"),
    [
        (0, None, []),
        (5, None, [("nice", 5)]),
        (0, ("idle", 0), [("ionice", psutil.IOPRIO_CLASS_IDLE, None)]),
        (
            19,
            ("best-effort", 7),
            [("nice", 19), ("ionice", psutil.IOPRIO_CLASS_BE, 7)],
        ),
    ],
)
def test_what_is_set(
    process: Callable[..., Process],
    nice: int,
    ionice: tuple[str, int] | None,
    given: list[tuple[object, ...]],
) -> None:
    """Only what was asked for; idle has no level."""
    seen = process()
    priority.lower(nice, ionice)
    assert seen.given == given


@pytest.mark.parametrize("error", [psutil.AccessDenied(), PermissionError()])
def test_what_the_system_refuses(
    process: Callable[..., Process], error: Exception
) -> None:
    """Is a wrong setting, with what is allowed."""
    process(error)
    with pytest.raises(Misconfigured, match="a nice of 0 or more is always allowed"):
        priority.lower(-5, None)


def test_what_the_system_does_not_know(
    process: Callable[..., Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    """macOS has no classes of disk priority."""
    process()
    monkeypatch.delattr(psutil, "IOPRIO_CLASS_BE")
    with pytest.raises(Misconfigured, match="WORKER_IONICE is not known"):
        priority.lower(0, ("best-effort", 4))
