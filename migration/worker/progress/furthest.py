"""How far each piece of work has ever got: the same once more is no progress."""

from collections.abc import Hashable
from dataclasses import dataclass

#: Pieces of work that are remembered; the ones longest untouched are forgotten first.
REMEMBERED = 20_000
#: How often a file may be sent anew because an attempt failed: four tries in each of
#: three rounds.
FRESH_STARTS = 12

#: How far a piece of work is: its stage, and how much of that is done.
Mark = tuple[int, int]
NOWHERE: Mark = (-1, 0)


@dataclass(slots=True)
class _Piece:
    size: int
    mark: Mark = NOWHERE
    fresh_starts: int = 0


class Furthest:
    """Remembers the furthest mark of each piece. Not thread-safe."""

    def __init__(self, remembered: int = REMEMBERED) -> None:
        self._remembered = remembered
        self._pieces: dict[Hashable, _Piece] = {}

    def reach(self, piece: Hashable, mark: Mark) -> bool:
        """Returns whether the piece has never got so far."""
        known = self._touch(piece)
        further = mark > known.mark
        if further:
            known.mark = mark
        return further

    def begin(self, piece: Hashable, size: int) -> None:
        """Begins with a piece of this size; one that was replaced is another one."""
        known = self._touch(piece)
        if known.size != size:
            known.size, known.mark = size, NOWHERE

    def begin_anew(self, piece: Hashable) -> None:
        """Lets a piece start from nothing, because its attempt has failed.

        A piece that has failed too often may not: its bytes say nothing new.
        """
        known = self._touch(piece)
        if known.fresh_starts < FRESH_STARTS:
            known.fresh_starts, known.mark = known.fresh_starts + 1, NOWHERE

    def forget(self, piece: Hashable) -> None:
        """Forgets a piece that is done."""
        self._pieces.pop(piece, None)

    def _touch(self, piece: Hashable) -> _Piece:
        known = self._pieces.pop(piece, None)
        if known is None:
            known = _Piece(-1)
            if len(self._pieces) >= self._remembered:
                del self._pieces[next(iter(self._pieces))]
        self._pieces[piece] = known
        return known
