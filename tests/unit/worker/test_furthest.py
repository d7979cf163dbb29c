"""How far work has got."""

from hypothesis import given
from hypothesis import strategies as st

from migration.worker.progress.furthest import FRESH_STARTS, Furthest

MARKS = st.tuples(st.integers(0, 6), st.integers(0, 1000))


@given(st.lists(st.tuples(st.sampled_from("abc"), MARKS)))
def test_progress_is_what_no_earlier_mark_of_the_piece_has_reached(
    given_marks: list[tuple[str, tuple[int, int]]],
) -> None:
    """Whatever is done in between."""
    furthest = Furthest()
    best: dict[str, tuple[int, int]] = {}
    for piece, mark in given_marks:
        further = piece not in best or mark > best[piece]
        assert furthest.reach(piece, mark) == further
        best[piece] = max(mark, best.get(piece, mark))


@given(st.lists(MARKS, min_size=1, max_size=5))
def test_going_in_circles_ends(circle: list[tuple[int, int]]) -> None:
    """The second round of the same marks is none, with every fresh start used up."""
    furthest = Furthest()
    for _ in range(FRESH_STARTS + 1):
        furthest.begin("a", 5)
        for mark in circle:
            furthest.reach("a", mark)
        furthest.begin_anew("a")
    for mark in circle:
        furthest.reach("a", mark)
    for _ in range(3):
        furthest.begin("a", 5)
        assert not any(furthest.reach("a", mark) for mark in circle)
        furthest.begin_anew("a")


def test_what_is_remembered_is_bounded() -> None:
    """The piece longest untouched goes."""
    furthest = Furthest(remembered=2)
    assert [furthest.reach(piece, (1, 1)) for piece in "abacab"] == [
        True,
        True,
        False,
        True,
        False,
        True,
    ]
