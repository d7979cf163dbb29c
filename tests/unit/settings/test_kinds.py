"""Reading the texts of settings: every kind takes what it says, and nothing else."""

import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.settings import kinds
from common.settings.kinds import Kind
from common.settings.reference import PROGRAMS
from common.settings.setting import Setting, settings_of

ALL = sorted(
    {
        one.variable: one for model in PROGRAMS.values() for one in settings_of(model)
    }.items()
)

#: kind, text, value
TAKEN: list[tuple[Kind[Any], str, object]] = [
    (kinds.number(0, 10), "2", 2.0),
    (kinds.number(0, 10), " 2.5 ", 2.5),
    (kinds.number(0, 10), ".5", 0.5),
    (kinds.number(0, 10), "1e1", 10.0),
    (kinds.number(-1, 10), "-1", -1.0),
    (kinds.whole(1, 8), "8", 8),
    (kinds.whole(1, 8), "8.0", 8),
    (kinds.whole(-20, 19), "-20", -20),
    (kinds.switch(), "1", True),
    (kinds.switch(), "off", False),
    (kinds.choice("text", "json"), "json", "json"),
    (kinds.text(), " admin ", "admin"),
    (kinds.verbatim(), " secret ", " secret "),
    (kinds.url("http", "https", example="x"), "https://nas:6006/", "https://nas:6006"),
    (kinds.path(), "/a b", Path("/a b")),
    (kinds.words("", str.upper), " epub, ,pdf,", frozenset({"EPUB", "PDF"})),
    (kinds.duration(100.0), "1m30s", 90.0),
    (kinds.bandwidth(), "1.5M", 1.5 * 1024**2),
    (kinds.pixels(), " 320X452 ", (320, 452)),
    (kinds.ionice(), "best-effort", ("best-effort", 4)),
]
REFUSED: list[tuple[Kind[Any], str]] = [
    *[
        (kinds.number(0, 10), text)
        for text in (
            "nan",
            "inf",
            "-inf",
            "-0.1",
            "10.01",
            "1e99",
            "x",
            "1_0",
            "٣",
            "0x1",
        )
    ],
    *[
        (kinds.whole(1, 8), text)
        for text in ("0", "9", "1.5", "nan", "inf", "9" * 30, "²", "1 2")
    ],
    *[(kinds.switch(), text) for text in ("2", "maybe", "-1")],
    *[(kinds.choice("text", "json"), text) for text in ("xml", "JSON")],
    *[(kinds.text(), text) for text in ("a\nb", "a\0b", "x" * 5000)],
    *[(kinds.verbatim(), text) for text in ("a\0b", "x" * 5000)],
    *[
        (kinds.url("http", example="x"), text)
        for text in ("nas:6006", "ftp://nas", "http://", "http://a b")
    ],
    *[
        (kinds.path(), text)
        for text in ("", "a\0b", "x" * 5000, "~nobody-has-this-name/x")
    ],
    *[(kinds.duration(100.0), text) for text in ("101", "2m", "-1", "soon")],
    *[(kinds.bandwidth(), text) for text in ("fast", "-1", "0.5B", "999999999999G")],
    *[(kinds.ionice(), text) for text in ("realtime", "idle:3", "best-effort:8")],
    *[(kinds.pixels(), text) for text in ("320", "0x452", "320x-1", "x", "320x100000")],
]


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    TAKEN,
    ids=[f"{kind.allowed[:40]} {text!r}" for kind, text, _ in TAKEN],
)
def test_what_is_taken(kind: Kind[Any], text: str, value: object) -> None:
    """With its value."""
    assert kind.read(text) == value


@pytest.mark.parametrize(
    ("kind", "text"),
    REFUSED,
    ids=[f"{kind.allowed[:40]} {text[:40]!r}" for kind, text in REFUSED],
)
def test_what_is_refused(kind: Kind[Any], text: str) -> None:
    """By ValueError, never by another error."""
    with pytest.raises(ValueError):
        kind.read(text)


@given(
    st.sampled_from(ALL),
    st.text(max_size=40)
    | st.from_regex(r"-?[0-9.]{1,25}(e-?[0-9]{1,4})?", fullmatch=True),
)
def test_a_value_is_one_that_makes_sense_or_it_is_refused(
    one: tuple[str, Setting], text: str
) -> None:
    """Of every setting of every program, for any text: no other error, no NaN, no
    infinity, nothing unbounded."""
    try:
        value = one[1].kind.read(text)
    except ValueError:
        return
    if isinstance(value, float):
        assert math.isfinite(value)
        assert -20 <= value <= 1e15
    if isinstance(value, int):
        assert -20 <= value <= 10**12 or one[1].unit == "bytes"


@given(st.floats(0.1, 600))
def test_a_number_is_read_back(value: float) -> None:
    """As it is written."""
    assert kinds.number(0.1, 600).read(repr(value)) == value


@pytest.mark.parametrize("one", [one for _, one in ALL], ids=lambda one: one.variable)
def test_every_default_is_allowed(one: Setting) -> None:
    """A default that can be written as a text is one the setting takes."""
    if (
        one.default_text
        and isinstance(one.default, bool | int | float | str)
        and one.default != ""
    ):
        assert one.kind.read(
            one.default_text
            if one.default_text[0] in "0123456789"
            else str(one.default)
        ) == (one.default)
    assert one.what
    assert one.variable.isupper() or one.variable.replace("_", "").isalnum()


@pytest.mark.parametrize(
    ("kind", "allowed"),
    [
        (kinds.number(0.5, 600), "a number from 0.5 to 600"),
        (kinds.whole(1, 8), "a whole number from 1 to 8"),
        (kinds.switch(), "1 or 0"),
        (kinds.choice("text", "json"), "text or json"),
        (kinds.text(), "a text of one line"),
        (kinds.verbatim(), "a text of at most 4096 characters"),
        (kinds.url("http", example="http://nas"), "a URL such as http://nas"),
        (kinds.path(), "a path on this machine"),
        (
            kinds.duration(9),
            "a duration such as 90, 45s, 30m or 1h30m, of at most 10 years",
        ),
        (kinds.bandwidth(), "a bandwidth such as 512K, 1.5M or 2G"),
        (kinds.ionice(), "idle, or best-effort:0 to best-effort:7"),
        (kinds.pixels(), "WIDTHxHEIGHT in pixels, such as 320x452"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_is_allowed_is_said(kind: Kind[Any], allowed: str) -> None:
    """The end of "X is not ..."."""
    assert kind.allowed == allowed


#: kind, the last that is taken, the first that is not
BOUNDS: list[tuple[Kind[Any], str, str]] = [
    (kinds.number(0, 10), "0", "-0.001"),
    (kinds.number(0, 10), "10", "10.001"),
    (kinds.whole(1, 8), "1", "0"),
    (kinds.whole(1, 8), "8", "9"),
    (kinds.text(), "x" * kinds.LONGEST, "x" * (kinds.LONGEST + 1)),
    (kinds.verbatim(), "x" * kinds.LONGEST, "x" * (kinds.LONGEST + 1)),
    (kinds.path(), "x" * kinds.LONGEST, "x" * (kinds.LONGEST + 1)),
    (kinds.words("", str), "x" * kinds.LONGEST, "x" * (kinds.LONGEST + 1)),
    (kinds.duration(100), "100", "100.5"),
    (kinds.bandwidth(), "1B", "0.9B"),
]


@pytest.mark.parametrize(("kind", "last", "beyond"), BOUNDS)
def test_a_bound_belongs_to_what_is_allowed(
    kind: Kind[Any], last: str, beyond: str
) -> None:
    """And what is just beyond it does not."""
    kind.read(last)
    with pytest.raises(ValueError):
        kind.read(beyond)
