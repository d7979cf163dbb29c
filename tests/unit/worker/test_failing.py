"""What failures mean: whole values in, whole values out."""

import pytest

from migration.errors import (
    FileChanged,
    RefusedByServer,
    ResponseLost,
    ServerFault,
    ServerUnreachable,
)
from migration.lanes.lane import Tries
from migration.worker.failing import (
    MOST_HOLDS,
    OUTAGE_AFTER,
    ROUNDS,
    Blame,
    Counted,
    Failing,
    FailureStreak,
    Next,
    after_failure,
    after_hold,
    after_rounds,
    is_explained,
)

CALM = Failing()


@pytest.mark.parametrize(
    ("failing", "tries", "blame", "in_attempt", "expected"),
    [
        pytest.param(
            CALM,
            Tries(),
            Blame.SERVER,
            True,
            Counted(Failing(1, "HTTP 500"), Tries(), counts_for_book=True),
            id="the first in a row counts for the book; the ledger keeps a file's rounds",
        ),
        pytest.param(
            Failing(1, "HTTP 502"),
            Tries(),
            Blame.SERVER,
            True,
            Counted(Failing(2, "HTTP 500"), Tries(), counts_for_book=False),
            id="a further one is the server's affair",
        ),
        pytest.param(
            CALM,
            Tries(),
            Blame.SERVER,
            False,
            Counted(Failing(1, "HTTP 500"), Tries(stumbles=1), counts_for_book=True),
            id="outside an attempt the book itself counts",
        ),
        pytest.param(
            Failing(1, "HTTP 502"),
            Tries(stumbles=1),
            Blame.SERVER,
            False,
            Counted(Failing(2, "HTTP 500"), Tries(stumbles=1), counts_for_book=False),
            id="but not while others fail as well",
        ),
        pytest.param(
            Failing(2, "HTTP 502"),
            Tries(),
            Blame.FILE,
            True,
            Counted(Failing(2, "HTTP 500"), Tries(), counts_for_book=True),
            id="a file that was rewritten says nothing of the server",
        ),
        pytest.param(
            CALM,
            Tries(holds=4, processed_at_hold=9),
            Blame.FILE,
            False,
            Counted(Failing(0, "HTTP 500"), Tries(1, 4, 9), counts_for_book=True),
            id="what the book has met with before is kept",
        ),
    ],
)
def test_a_failure_is_counted(
    failing: Failing, tries: Tries, blame: Blame, in_attempt: bool, expected: Counted
) -> None:
    """For the process, for the book, or for both."""
    assert (
        after_failure(failing, tries, "HTTP 500", blame=blame, in_attempt=in_attempt)
        == expected
    )


@pytest.mark.parametrize(
    ("in_a_row", "outage"),
    [
        (0, False),
        (OUTAGE_AFTER - 1, False),
        (OUTAGE_AFTER, True),
        (OUTAGE_AFTER + 5, True),
    ],
)
def test_an_outage_is_several_failures_in_a_row(in_a_row: int, outage: bool) -> None:
    """Three, and not two."""
    assert (OUTAGE_AFTER, Failing(in_a_row).is_outage) == (3, outage)


@pytest.mark.parametrize(
    ("stumbles", "rounds", "expected"),
    [
        (0, 0, Next.TRY_AGAIN),
        (0, ROUNDS - 1, Next.TRY_AGAIN),
        (0, ROUNDS, Next.LEAVE_FILE),
        (ROUNDS - 1, 0, Next.TRY_AGAIN),
        (ROUNDS, 0, Next.LEAVE_BOOK),
        (ROUNDS - 1, ROUNDS, Next.LEAVE_FILE),
        (ROUNDS, ROUNDS, Next.LEAVE_BOOK),
    ],
)
def test_what_fails_again_and_again_is_left_pending(
    stumbles: int, rounds: int, expected: Next
) -> None:
    """The file it fails on, or the book when it fails outside any file."""
    assert (ROUNDS, after_rounds(Tries(stumbles), rounds)) == (3, expected)


@pytest.mark.parametrize(
    ("tries", "processed", "expected"),
    [
        pytest.param(Tries(), 0, (Tries(0, 1, 0), True), id="the first time"),
        pytest.param(
            Tries(0, 1, 7),
            7,
            (Tries(0, 1, 7), True),
            id="nothing was taken meanwhile: not counted",
        ),
        pytest.param(
            Tries(2, 1, 7), 8, (Tries(2, 2, 8), True), id="others were taken meanwhile"
        ),
        pytest.param(
            Tries(0, MOST_HOLDS - 1, 7),
            7,
            (Tries(0, MOST_HOLDS - 1, 7), True),
            id="an outage may last for ever",
        ),
        pytest.param(
            Tries(0, MOST_HOLDS - 1, 7),
            8,
            (Tries(0, MOST_HOLDS, 8), False),
            id="not for ever else",
        ),
    ],
)
def test_a_book_may_wait_because_the_server_asks_for_time(
    tries: Tries, processed: int, expected: tuple[Tries, bool]
) -> None:
    """Twenty times, counted only when other files were settled in between."""
    assert (MOST_HOLDS, after_hold(tries, processed)) == (20, expected)


def test_anything_that_is_settled_ends_the_row() -> None:
    """What failed last is still known; the next failure is a first one again."""
    streak = FailureStreak()
    counted = [
        streak.count(Tries(), text, blame=Blame.SERVER, in_attempt=True)
        for text in ("a", "b", "c")
    ]
    assert [one.counts_for_book for one in counted] == [True, False, False]
    assert streak.failing == Failing(3, "c")
    streak.ends()
    assert streak.failing == Failing(0, "c")
    assert streak.count(
        Tries(), "d", blame=Blame.SERVER, in_attempt=True
    ).counts_for_book


def raised_in(module: str, error: Exception) -> Exception:
    """The error as code of that module raises it, passed on by this one."""
    namespace: dict[str, object] = {"__name__": module, "error": error}
    try:
        exec("def fail(): raise error\nfail()", namespace)
    except type(error) as raised:
        return raised
    raise AssertionError


@pytest.mark.parametrize(
    ("module", "error", "explained"),
    [
        ("migration.server.http.routes", ServerFault("HTTP 500"), True),
        ("migration.server.client", RefusedByServer("no"), True),
        ("migration.lanes.api.lane", ResponseLost("no answer"), True),
        ("migration.cluster.coordinator", ServerUnreachable("reset"), True),
        ("migration.lanes.api.transfer", FileChanged("rewritten"), False),
        ("migration.server.http.routes", ValueError("x"), False),
        ("__main__", ServerFault("HTTP 500"), False),
        ("bulk_migrate_calibre", RefusedByServer("no"), False),
    ],
    ids=lambda value: str(value) if isinstance(value, str) else repr(value),
)
def test_who_explains_a_failure(module: str, error: Exception, explained: bool) -> None:
    """The server, by trusted code; nothing that the policy script makes up."""
    assert is_explained(raised_in(module, error)) == explained


def test_an_error_that_nobody_raised_explains_nothing_unless_it_stands_for_one() -> (
    None
):
    """The script names a refused book a fault, with the place of the refusal."""
    refusal = raised_in("migration.server.client", RefusedByServer("no"))
    made = ServerFault("refused: no")
    assert not is_explained(made)
    assert is_explained(made.with_traceback(refusal.__traceback__))
