"""Questions that outlive outages: how often they are tried, what is waited for, when
they are given up."""

import pytest

from migration.errors import ServerFault, ServerUnreachable, TooBig
from migration.server.questions import Questions, RetryPolicy, Unanswered

PATIENCE = RetryPolicy(first=2.0, tries=4, probe=15.0, longest=0.0)


class Server:
    """A scripted server: its answers to the question and to probes, and what was waited
    for."""

    def __init__(
        self, *answers: object, probes: tuple[bool, ...] = (), longest: float = 3600.0
    ) -> None:
        self._answers = iter(answers)
        self._probes = iter(probes)
        self.slept: list[float] = []
        self.told: list[bool] = []
        policy = RetryPolicy(PATIENCE.first, PATIENCE.tries, PATIENCE.probe, longest)
        self.questions = Questions(
            lambda: next(self._probes), self.slept.append, policy, self.told.append
        )

    def answer(self) -> object:
        """The next answer; exceptions are raised."""
        given = next(self._answers)
        if isinstance(given, BaseException):
            raise given
        return given

    def ask(self) -> object:
        """Asks."""
        return self.questions.ask(self.answer)


AWAY = ServerUnreachable("connection refused")


@pytest.mark.parametrize(
    ("answers", "probes", "slept", "told"),
    [
        ((True,), (), [], []),
        ((AWAY, AWAY, AWAY, True), (), [2, 4, 8], []),
        ((ServerFault("HTTP 503", retry_after=60.0), AWAY, True), (), [60, 4], []),
        (
            (AWAY, AWAY, AWAY, AWAY, True),
            (False, False, True),
            [2, 4, 8, 15, 15],
            [True, False],
        ),
    ],
    ids=["at once", "at the fourth try", "as the server asked", "after an outage"],
)
def test_an_answer_is_waited_for(
    answers: tuple[object, ...],
    probes: tuple[bool, ...],
    slept: list[float],
    told: list[bool],
) -> None:
    """2, 4 and 8 s, then as long as the server is away."""
    server = Server(*answers, probes=probes)
    assert server.ask() is True
    assert (server.slept, server.told) == (slept, told)


def test_a_question_that_stays_open_while_the_server_answers_others() -> None:
    """Not known, with the last failure; from the fourth in a row on each is asked once;
    one answer ends that."""
    faults = [ServerFault(f"HTTP 500, {number}") for number in range(13)]
    server = Server(*faults, True, *faults, probes=(True,) * 9)
    for last in (3, 7, 11, 12):
        with pytest.raises(Unanswered, match=f"^HTTP 500, {last}$") as left:
            server.ask()
        assert not left.value.gone
    assert server.ask() is True
    with pytest.raises(Unanswered, match=r"^HTTP 500, 3$"):
        server.ask()


def test_a_server_that_stays_away_is_given_up() -> None:
    """Then nothing is asked any more."""
    server = Server(AWAY, AWAY, AWAY, AWAY, probes=(False,), longest=0.0)
    for _question in range(2):
        with pytest.raises(
            Unanswered, match="not asked: the server has not answered for 0 s"
        ) as left:
            server.ask()
        assert left.value.gone
    assert server.slept == [2, 4, 8]


def test_a_server_that_goes_away_again_and_again() -> None:
    """Bounded: as many outages as tries."""
    server = Server(*[AWAY] * 16, probes=(False, True) * 4)
    with pytest.raises(Unanswered, match="again and again") as left:
        server.ask()
    assert not left.value.gone


def test_a_refusal_is_an_answer() -> None:
    """It is not asked again."""
    server = Server(TooBig("too big"))
    with pytest.raises(TooBig):
        server.ask()
    assert server.slept == []
