"""How many books are read back, what the two processes tell each other, order."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migration.audit import expectation, messages, sampling
from migration.audit.findings import (
    KINDS,
    Finding,
    Kind,
    in_doubt,
    made_together,
)
from migration.audit.messages import (
    Alive,
    Begun,
    Checked,
    Done,
    Failed,
    Message,
    Waiting,
)
from migration.audit.seen import Birth, Seen, SeenAuthor, birth, ebook
from migration.ledger.parts.pass_end import NOT_AUDITED
from migration.model import Author, Book, BookId, EbookId, Vocabulary


@pytest.mark.parametrize(
    ("setting", "changed", "read"),
    [
        ("auto", 0, 0),
        ("auto", 500, 500),
        ("auto", 501, 200),
        ("auto", 20_000, 200),
        ("auto", 1_700_000, 17_000),
        ("all", 1_700_000, 1_700_000),
        ("off", 500, 0),
        ("1%", 50, 1),
        ("1%", 1000, 10),
        ("0.5%", 1000, 5),
        ("100%", 7, 7),
    ],
)
def test_how_many_are_read_back(setting: str, changed: int, read: int) -> None:
    """All of few, some of many."""
    assert sampling.size(setting, changed) == read


_TEXTS = st.text(max_size=50)
_MESSAGES: st.SearchStrategy[Message] = st.one_of(
    st.builds(Begun, st.integers(0), st.integers(0)),
    st.builds(Checked, st.booleans()),
    st.builds(Waiting, _TEXTS),
    st.builds(Failed, _TEXTS),
    st.just(Alive()),
    st.just(Done()),
    st.builds(
        Finding,
        st.sampled_from(Kind),
        st.integers(0).map(BookId),
        st.integers(0).map(EbookId),
        _TEXTS,
    ),
)


@given(_MESSAGES)
def test_a_message_survives_its_line(message: Message) -> None:
    """One line each, whatever the texts of books and servers say."""
    line = messages.line(message)
    assert "\n" not in line
    assert messages.read(line.encode()) == message


@pytest.mark.parametrize(
    "line",
    [b"", b"null", b"[]", b'["Finding", "no such kind", 1, 2, "x"]', b"Traceback"],
)
def test_what_is_no_message_is_none(line: bytes) -> None:
    """A warning of an interpreter, say."""
    assert messages.read(line) is None


def test_the_terms_are_those_of_others() -> None:
    """The ledger's word for a pass that nobody audited."""
    assert NOT_AUDITED == Kind.NOT_AUDITED
    assert NOT_AUDITED in KINDS


BOOK = Book(
    BookId(1),
    "T",
    (Author("Jane Doe", "Doe, Jane"), Author("Karel Čapek", "Čapek, Karel")),
)
MADE = "2026-11-23T22:27:38.322182+00:00"


def shown(*authors: tuple[int, str, str]) -> Seen:
    """An ebook with these authors, by id."""
    return Seen(
        EbookId(5),
        "",
        tuple(SeenAuthor(*one) for one in sorted(authors)),
        None,
        None,
        "",
        frozenset(),
        None,
        False,
        frozenset(),
        MADE,
    )


def test_only_authors_in_another_order_are_in_doubt() -> None:
    """Those of the book are Doe, then Čapek."""
    wanted = expectation.expected(BOOK, Vocabulary({}, {}), "en")
    doe, capek = (1, "Doe", "Jane"), (2, "Čapek", "Karel")
    assert in_doubt(wanted, shown(doe, capek)) == []
    [(first, second)] = in_doubt(wanted, shown((2, *doe[1:]), (1, *capek[1:])))
    assert (first.last, second.last) == ("Doe", "Čapek")


@pytest.mark.parametrize(
    ("births", "together"),
    [
        pytest.param((Birth(MADE, 5), Birth(MADE, 5)), True, id="with the ebook"),
        pytest.param((Birth(MADE, 5), Birth("2020", 5)), False, id="one is older"),
        pytest.param(
            (Birth(MADE, 5), Birth(MADE, 3)), False, id="one has another ebook"
        ),
        pytest.param((Birth("", 5), Birth("", 5)), False, id="the server does not say"),
        pytest.param((Birth(MADE, 0), Birth(MADE, 0)), False, id="nor which ebooks"),
    ],
)
def test_who_was_made_with_the_ebook(
    births: tuple[Birth, Birth], together: bool
) -> None:
    """By the microsecond of the transaction."""
    assert made_together(shown(), births) is together


def test_what_the_server_leaves_out_is_empty() -> None:
    """Null fields are not there at all; what is of another type is not believed."""
    bare = ebook(
        EbookId(5), {"title": "T", "sources": [{"size": True}], "my_rating": "9"}
    )
    assert (bare.title, bare.authors, bare.series, bare.rating) == ("T", (), None, None)
    assert bare.files == {("", 0)}
    assert birth({"ebooks": [9, 4]}) == Birth("", 4)
    assert birth({"ebooks": "4"}) == Birth("", 0)
