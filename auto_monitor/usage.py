"""What a process uses of what it may run out of: the nouns. Pure."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Resource(StrEnum):
    """What a process may run out of."""

    MEMORY = "memory"
    FILES = "open files"


@dataclass(frozen=True, slots=True)
class Usage:
    """What a process used at one look, and how much of it there was for it.

    None where the system does not tell. `memory_limit` is what it had and could still
    have got. `kills` counts how often the kernel has ended a process for want of
    memory.
    """

    at: datetime
    memory: int | None = None
    memory_limit: int | None = None
    files: int | None = None
    files_limit: int | None = None
    kills: int | None = None

    def of(self, resource: Resource) -> tuple[int, int] | None:
        """Returns what is used of this, and its limit; None when not known."""
        is_memory = resource is Resource.MEMORY
        used = self.memory if is_memory else self.files
        limit = self.memory_limit if is_memory else self.files_limit
        return None if used is None or not limit else (used, limit)


@dataclass(frozen=True, slots=True)
class Leak:
    """A resource that will be used up, since when that is seen, and how fast."""

    resource: Resource
    since: datetime
    used: int
    limit: int
    per_minute: int
