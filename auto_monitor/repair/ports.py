"""What the monitor needs from a debugger with a mind; `llm_debugger` is one, tests/support/fakes.py has another."""

from typing import Protocol

from auto_monitor.decide.diagnosis import Answer, Facts
from auto_monitor.model import Opinion


class Adviser(Protocol):
    """Never makes anybody wait: an answer that is not there yet is pending, and asked for again at the next look."""

    def asked(self, worker_id: int) -> bool:
        """Has a question about this worker been asked, answered or not?"""
        ...

    def diagnose(self, facts: Facts) -> Answer:
        """Why does this worker hang, and what helps?"""
        ...

    def disk_is_the_cause(self, facts: Facts) -> Opinion:
        """Is the saturated disk the reason why it hangs?"""
        ...

    def forget(self, worker_id: int) -> None:
        """Its trouble is over, or another one now."""
        ...

    def finish(self) -> None:
        """Ends what still runs."""
        ...
