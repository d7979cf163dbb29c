"""A fault of the policy script and its repair, as replacements of its text."""

from dataclasses import dataclass
from enum import StrEnum


class Told(StrEnum):
    """How the answer gives the code."""

    #: As it stands in the script, without the indentation of the class.
    PLAIN = "plain"
    #: As the question showed it: def at column 0, body at 8.
    ECHOED = "echoed"
    #: A block that explains, then the block with the code.
    EXPLAINED = "explained"


@dataclass(frozen=True, slots=True)
class Hunk:
    """One place: as shipped, with the fault, repaired (None: as with the fault)."""

    shipped: str
    broken: str
    repaired: str | None = None


@dataclass(frozen=True, slots=True)
class Repair:
    """One fault; `function` is what the answer names."""

    name: str
    function: str
    hunks: tuple[Hunk, ...]
    told: Told = Told.PLAIN

    def broken(self, script: str) -> str:
        """Returns the script with the fault in it."""
        for hunk in self.hunks:
            script = replace_once(script, hunk.shipped, hunk.broken)
        return script

    def repaired(self, script: str) -> str:
        """Returns the script as the repair leaves it."""
        script = self.broken(script)
        for hunk in self.hunks:
            if hunk.repaired is not None:
                script = replace_once(script, hunk.broken, hunk.repaired)
        return script


def replace_once(text: str, old: str, new: str) -> str:
    """Replaces what occurs exactly once."""
    if text.count(old) != 1:
        raise ValueError(f"{text.count(old)} times in the script: {old!r}")
    return text.replace(old, new)


def importing(*names: str) -> Hunk:
    """Returns the hunk with which a fault brings modules into the script."""
    more = "".join(f"import {name}\n" for name in names)
    return Hunk("import os\nimport sys\n", f"import os\n{more}import sys\n")


def holding(*lines: str) -> Hunk:
    """Returns the hunk with which a fault brings attributes into the constructor."""
    last = "        self.missed: dict[FileId, bytes] = {}\n"
    return Hunk(last, last + "".join(f"        {line}\n" for line in lines))
