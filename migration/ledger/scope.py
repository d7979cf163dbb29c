"""Which books a pass is about, as the ledger keeps it: passes.selection."""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from common.json_value import Json


@dataclass(frozen=True, slots=True)
class Scope:
    """A selection, in words, with the numbers of books when its pass was opened.

    `selection` is for `migration/calibre/selection.py`, which reads it again.
    """

    selection: Mapping[str, Json]
    words: str
    books: int
    outside: int

    def text(self) -> str:
        """Returns what `parse` reads."""
        return json.dumps(
            {
                "selection": dict(self.selection),
                "words": self.words,
                "books": self.books,
                "outside": self.outside,
            },
            ensure_ascii=False,
        )

    def __str__(self) -> str:
        return (
            f"selection: {self.words}; {self.outside} of {self.books} books are outside"
        )


def parse(text: str) -> Scope | None:
    """Returns the scope of a pass, None for the whole library.

    Raises ValueError for anything else.
    """
    if not text:
        return None
    value = json.loads(text)
    selection = value.get("selection") if isinstance(value, dict) else None
    if not isinstance(selection, dict):
        raise ValueError(f"no scope of a pass: {text[:80]}")
    return Scope(
        selection,
        str(value.get("words", "")),
        int(value.get("books", 0)),
        int(value.get("outside", 0)),
    )
