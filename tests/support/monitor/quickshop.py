"""A workshop whose gate runs nothing, and a change that guard allows."""

from dataclasses import dataclass
from pathlib import Path

from auto_monitor.fix_applier import Workshop
from auto_monitor.patch.sandbox import Unavailable

OLD = "        limit = min(self.options.batch_size, share)"
NEW = "        limit = max(1, min(self.options.batch_size, share))"


@dataclass(frozen=True, slots=True)
class Quick(Workshop):
    """A workshop whose gate lets everything through, or cannot be had."""

    unavailable: bool = False

    def gate(self, path: Path) -> str:
        """Nothing is run."""
        if self.unavailable:
            raise Unavailable("no sandbox can be made here: the kernel refuses")
        return "passed the gate"
