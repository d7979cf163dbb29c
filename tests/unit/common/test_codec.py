"""JSON and values: nothing is converted silently, and nothing is an error."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import StrEnum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import codec
from common.json_value import Json

NOON = datetime(2026, 11, 24, 12, tzinfo=UTC)


class Colour(StrEnum):
    """Two of them."""

    RED = "red"
    BLUE = "blue"


@dataclass(frozen=True, slots=True)
class Value:
    """One field of each kind."""

    number: int
    at: datetime
    share: float = 0.5
    text: str = ""
    flag: bool = False
    colour: Colour = Colour.RED
    maybe: int | None = None
    pair: tuple[int, int] | None = None
    by_number: Mapping[int, str] = field(default_factory=dict)
    anything: Mapping[str, Json] = field(default_factory=dict)


CONVERTER = codec.converter()
GOOD: dict[str, Json] = {"number": 1, "at": NOON.isoformat()}


def read(**more: Json) -> Value | None:
    """A good value, but for these fields."""
    return codec.read_as(Value, GOOD | more, CONVERTER)


@given(
    st.builds(
        Value,
        number=st.integers(),
        at=st.datetimes(timezones=st.just(UTC)),
        share=st.floats(allow_nan=False),
        by_number=st.dictionaries(st.integers(), st.text(), max_size=2),
    )
)
def test_what_is_written_is_read_again(value: Value) -> None:
    """Every value there can be."""
    assert codec.read_as(Value, CONVERTER.unstructure(value), CONVERTER) == value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("number", "1"),
        ("number", 1.0),
        ("number", True),
        ("number", None),
        ("at", "2026-11-24T12:00:00"),
        ("at", "noon"),
        ("at", 5),
        ("share", "0.5"),
        ("share", True),
        ("text", 5),
        ("flag", 1),
        ("flag", "true"),
        ("colour", "green"),
        ("colour", 1),
        ("maybe", "1"),
        ("pair", [1]),
        ("pair", [1, "2"]),
        ("pair", 5),
        ("by_number", {"one": "x"}),
        ("by_number", {"1": 5}),
        ("by_number", [1]),
        ("anything", [1]),
    ],
)
def test_what_is_no_such_value_is_none(name: str, value: Json) -> None:
    """A number in quotes is no number, a time has its zone."""
    assert read() == Value(1, NOON)
    assert read(**{name: value}) is None


def test_what_is_as_good_is_taken() -> None:
    """A whole number for a share, an unknown key, any JSON where any is meant."""
    found = read(share=1, news=5, anything={"a": [1, {"b": None}]})
    assert found == Value(1, NOON, share=1.0, anything={"a": [1, {"b": None}]})


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    )
)
def test_no_value_is_an_error(value: Json) -> None:
    """Whatever is in a file."""
    assert codec.read_as(Value, value, CONVERTER) is None
