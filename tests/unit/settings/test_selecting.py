"""Settings that select books: what they take, and the same given in several ways."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.settings import kinds
from common.settings.command_line import options_of
from common.settings.load import Source, Sources, WrongSetting, load
from common.settings.selecting import Selecting, id_span, since
from common.settings.setting import settings_of
from migration.calibre.contradictory import objection
from migration.worker.options import build_parser

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)


def read(*argv: str, **variables: str) -> Selecting:
    """The settings of a command line and an environment."""
    options = options_of(build_parser().parse_args(argv), Selecting)
    return load(
        Selecting, Sources(Source("the environment", variables)).with_options(options)
    )


@pytest.mark.parametrize(
    ("argv", "variables", "expected"),
    [
        ((), {}, Selecting()),
        (
            ("--tag", "Fantasy, Horror", "--tag", "Sci;Fi"),
            {},
            Selecting(select_tag=("Fantasy", "Horror", "Sci;Fi")),
        ),
        (
            ("--author", "van der Berg, Anna", "--author", "B\\C"),
            {},
            Selecting(select_author=("van der Berg, Anna", "B\\C")),
        ),
        (
            (),
            {"SELECT_AUTHOR": r"Doe, Jane; A\;B", "SELECT_TAG": "Fantasy"},
            Selecting(select_author=("Doe, Jane", "A;B"), select_tag=("Fantasy",)),
        ),
        (
            ("--ids", "1-20,45", "--not-ids", "7", "--format", ".epub,PDF"),
            {},
            Selecting(
                select_ids=((1, 20), (45, 45)),
                select_not_ids=((7, 7),),
                select_format=("EPUB", "PDF"),
            ),
        ),
        (
            ("--added-since", "30d", "--not-modified-since", "2026-01-31T18:30"),
            {"SELECT_ADDED_SINCE": "2w"},
            Selecting(
                select_added_since=("30d",),
                select_not_modified_since=("2026-01-31T18:30",),
            ),
        ),
    ],
)
def test_what_is_asked_for(
    argv: tuple[str, ...], variables: dict[str, str], expected: Selecting
) -> None:
    assert read(*argv, **variables) == expected


@pytest.mark.parametrize(
    "argv",
    [
        ("--ids", "20-1"),
        ("--ids", "0"),
        ("--ids", "a"),
        ("--ids", "1-"),
        ("--ids", ","),
        ("--added-since", "soon"),
        ("--added-since", "30"),
        ("--modified-since", "2026-13-01"),
        ("--modified-since", "999999w"),
        ("--tag", "a\nb"),
        ("--format", ","),
    ],
)
def test_what_makes_no_sense_is_refused(argv: tuple[str, ...]) -> None:
    with pytest.raises(WrongSetting):
        read(*argv)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("30d", NOW - timedelta(days=30)),
        ("90m", NOW - timedelta(minutes=90)),
        ("2w", NOW - timedelta(days=14)),
        ("2026-01-31", datetime(2026, 1, 31, tzinfo=UTC)),
        ("2026-01-31T18:30", datetime(2026, 1, 31, 18, 30, tzinfo=UTC)),
        ("2026-01-31 18:30:59.9+02:00", datetime(2026, 1, 31, 16, 30, 59, tzinfo=UTC)),
    ],
)
def test_since_when(text: str, moment: datetime) -> None:
    assert since(text, NOW) == moment


@pytest.mark.parametrize(
    ("text", "span"), [("7", (7, 7)), ("1-20", (1, 20)), ("3 - 4", (3, 4))]
)
def test_spans_of_ids(text: str, span: tuple[int, int]) -> None:
    assert id_span(text) == span


@given(st.lists(st.text("a;\\ ,", min_size=1).filter(str.strip), min_size=1))
def test_what_is_joined_comes_apart_again(names: list[str]) -> None:
    """Whatever the names hold; so options reach other programs by the environment."""
    kind = kinds.several("names", lambda text: [text])
    stripped = [name.strip() for name in names]
    assert kind.read(kinds.joined(stripped)) == tuple(dict.fromkeys(stripped))


#: What is asked for, what leaves it out again, and whether all of it.
BOTH = [
    ("--tag Fantasy", "--not-tag Fantasy", True),
    ("--tag fantasy", "--not-tag FANTASY", True),
    ("--tag Fiction.Fantasy", "--not-tag Fiction", True),
    ("--tag Fiction", "--not-tag Fiction.Fantasy", False),
    ("--tag Fantasy,Horror", "--not-tag Horror", False),
    ("--tag Fantasy,Horror", "--not-tag Horror,Fantasy,SF", True),
    ("--tag Fantasy", "--not-author Fantasy", False),
    ("--author Doe", "--not-author doe", True),
    ("--author Doe", "--not-author Roe", False),
    ("--series Ring", "--not-series Ring", True),
    ("--series Ring", "--not-series Rings", False),
    ("--language eng", "--not-language English", True),
    ("--language de", "--not-language fr", False),
    ("--format epub", "--not-format .EPUB", True),
    ("--format epub,pdf", "--not-format pdf", False),
    ("--ids 3,5-7", "--not-ids 1-10", True),
    ("--ids 3,5-11", "--not-ids 1-10", False),
    ("--ids 1-10", "--not-ids 1-5,6-10", True),
    ("--added-since 30d", "--not-added-since 30d", True),
    ("--added-since 30d", "--not-added-since 2w", False),
    ("--added-since 2026-03-01", "--not-added-since 2026-01-01", True),
    ("--modified-since 2w", "--not-modified-since 30d", True),
    ("--modified-since 2w", "--not-added-since 30d", False),
]


@pytest.mark.parametrize(("asks", "leaves_out", "nothing"), BOTH)
def test_a_selection_of_nothing(asks: str, leaves_out: str, nothing: bool) -> None:
    """Is one that no library can meet; whichever is said first."""
    for said in ((asks, leaves_out), (leaves_out, asks), (asks,), (leaves_out,)):
        argv = [word for text in said for word in text.split()]
        found = Sources(options=options_of(build_parser().parse_args(argv), Selecting))
        why = objection(load(Selecting, found), found, NOW, deletes=False)
        assert bool(why) is (nothing and len(said) > 1), why
        assert not why or {asks.split()[0], leaves_out.split()[0]} <= set(why.split())


def test_where_a_selection_of_nothing_is_from() -> None:
    """What is said now does not go with what a file has said for long."""
    options = options_of(build_parser().parse_args(["--tag", "Horror"]), Selecting)
    found = Sources(
        Source("/checkout/.env", {"SELECT_NOT_TAG": "SF;Horror"}), options=options
    )
    assert objection(load(Selecting, found), found, NOW, deletes=False) == (
        "--tag Horror does not go with SELECT_NOT_TAG=SF or Horror (/checkout/.env): "
        "together they select nothing; leave one of them out"
    )


def test_every_selection_can_be_one_of_nothing() -> None:
    """Each setting has its pair above."""
    said = {word for pair in BOTH if pair[2] for word in " ".join(pair[:2]).split()}
    assert {one.option for one in settings_of(Selecting)} <= said
