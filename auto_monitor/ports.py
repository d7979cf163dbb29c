"""What the monitor needs from a debugger with a mind; `llm_debugger` fills it, tests have a fake of it."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from auto_monitor.model import Opinion


class Adviser(Protocol):
    """Asked without waiting: an answer that is not there yet is PENDING, and asked for again at the next look."""

    def disk_is_the_cause(self, stuck: Sequence[int], utilization: float, now: datetime) -> Opinion:
        """Is the saturated disk (`utilization` percent) the reason why these workers are stuck?"""
        ...
