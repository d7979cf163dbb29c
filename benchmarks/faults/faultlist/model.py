"""A fault, its right answer and its wrong ones. Pure."""

from dataclasses import dataclass, field
from enum import StrEnum


class Kind(StrEnum):
    """What a fault does."""

    HANG = "hang"
    RESULT = "wrong result"
    CRASH = "crash"
    LEAK = "leak"
    FAILING = "everything fails"
    ENDLESS = "endless work"


@dataclass(frozen=True, slots=True)
class Edit:
    """Whole lines of a script that occur once, and what becomes of them."""

    old: str
    new: str

    def of(self, text: str) -> str:
        """Returns the text with the edit. Raises ValueError where it does not fit."""
        if text.count(self.old) != 1:
            raise ValueError(f"{text.count(self.old)} times in the script: {self.old}")
        return text.replace(self.old, self.new)

    def taken_back(self) -> "Edit":
        """Returns the edit that undoes this one."""
        return Edit(self.new, self.old)


@dataclass(frozen=True, slots=True)
class Wrong:
    """A wrong answer: how it is wrong, and its edit of the broken script.

    Without an edit it is a restart.
    """

    how: str
    edit: Edit | None = None


@dataclass(frozen=True, slots=True)
class Fault:
    """`put` makes the shipped script the broken one; `right` mends it.

    Without `right` the first edit of `put` is taken back. `setting` is for the worker's
    environment, `descriptors` and `memory` are limits of its processes. `only_here` says
    that it strikes at a book of the user's library alone, not at the demo's. `more_books` are
    for what takes a while to show.
    """

    name: str
    kind: Kind
    put: tuple[Edit, ...]
    cause: str
    wrong: tuple[Wrong, ...]
    right: Edit | None = None
    only_here: bool = False
    missing_file: bool = False
    setting: dict[str, str] = field(default_factory=dict)
    descriptors: int = 0
    memory: int = 0
    more_books: int = 0

    def broken(self, shipped: str) -> str:
        """Returns the shipped script with the fault."""
        for edit in self.put:
            shipped = edit.of(shipped)
        return shipped

    def repair(self) -> Edit:
        """Returns the right answer's edit of the broken script."""
        return self.right or self.put[0].taken_back()
