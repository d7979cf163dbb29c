"""Sanitising: tables for what is known to hurt, properties for everything else."""

import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.sanitize import (
    NAME_BYTES,
    for_log,
    sanitize_filename,
    sanitize_json,
    sanitize_text,
)

ANY_TEXT = st.text(st.characters(exclude_categories=()), max_size=200) | st.binary(
    max_size=200
)
_BIDI = set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


@pytest.mark.parametrize(
    ("given_text", "clean"),
    [
        pytest.param("Ti\x00tle", "Title", id="NUL is removed"),
        pytest.param(
            "a\nb\r\nc\td", "a b c d", id="line ends and tabs become one blank"
        ),
        pytest.param("  a   b  ", "a b", id="white space is folded and stripped"),
        pytest.param("gpj\u202eexe", "gpjexe", id="bidi overrides are removed"),
        pytest.param("a\ud800b", "ab", id="lone surrogates are removed"),
        pytest.param(b"A\xffB", "A\ufffdB", id="invalid UTF-8 becomes U+FFFD"),
        pytest.param("Zoe\u0308", "Zoe\u0308", id="normalisation is left alone"),
        pytest.param("שלום עולם", "שלום עולם", id="Hebrew stays as it is"),
        pytest.param("a\u2028b", "a b", id="line separators become a blank"),
        pytest.param("\ufeffBOM", "BOM", id="a byte order mark is removed"),
        pytest.param("\ufffe\U0010ffff", "", id="noncharacters are removed"),
    ],
)
def test_known_troubles(given_text: str | bytes, clean: str) -> None:
    """What has hurt somebody before."""
    assert sanitize_text(given_text) == clean


def test_multiline_keeps_lines() -> None:
    """Comments keep their lines; every line end is a newline."""
    assert sanitize_text("a\r\nb\u2028c\x00  d", multiline=True) == "a\nb\nc  d"


@given(ANY_TEXT)
def test_nothing_forbidden_stays(value: str | bytes) -> None:
    """No control, no override, no surrogate; it can be encoded; a second time changes
    nothing."""
    clean = sanitize_text(value)
    assert not [
        char
        for char in clean
        if unicodedata.category(char) in ("Cc", "Cs") or char in _BIDI
    ]
    clean.encode("utf-8")
    assert sanitize_text(clean) == clean
    assert len(clean.splitlines()) <= 1


@given(ANY_TEXT)
def test_multiline_is_idempotent_and_encodable(value: str | bytes) -> None:
    """Also with lines kept."""
    clean = sanitize_text(value, multiline=True)
    clean.encode("utf-8")
    assert sanitize_text(clean, multiline=True) == clean


@given(ANY_TEXT)
def test_a_file_name_is_one_safe_component(value: str | bytes) -> None:
    """Never empty, never a path, short enough, the same a second time."""
    name = sanitize_filename(value)
    assert name
    assert name not in (".", "..")
    assert not set(name) & set('/\\:*?"<>|\0')
    assert len(name.encode("utf-8")) <= NAME_BYTES
    assert sanitize_filename(name) == name


@pytest.mark.parametrize(
    ("given_text", "clean"),
    [
        pytest.param(
            "../../etc/passwd", ".._.._etc_passwd", id="separators become underscores"
        ),
        pytest.param("..", "__", id="two dots are no name"),
        pytest.param("", "_", id="nothing becomes something"),
        pytest.param(
            "é" * 300 + ".epub",
            "é" * 125 + ".epub",
            id="cut to 255 bytes with the extension kept",
        ),
    ],
)
def test_file_names(given_text: str, clean: str) -> None:
    """Known cases."""
    assert sanitize_filename(given_text) == clean


@given(ANY_TEXT, st.integers(min_value=1, max_value=50))
def test_a_log_text_is_one_short_line(value: str | bytes, limit: int) -> None:
    """Never longer than asked, never two lines."""
    text = for_log(value, limit)
    assert len(text) <= limit
    assert "\n" not in text


JSON_LIKE = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | ANY_TEXT,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.text(max_size=5), inner, max_size=4)
    ),
    max_leaves=20,
)


@given(JSON_LIKE)
def test_any_value_becomes_json_every_reader_takes(value: object) -> None:
    """No NaN, no infinity, no bytes, no surrogate."""
    text = json.dumps(sanitize_json(value), allow_nan=False, ensure_ascii=False)
    text.encode("utf-8")
    assert json.loads(text) == sanitize_json(value)


def test_deep_values_end_as_text() -> None:
    """A nesting bomb does not recurse for ever."""
    value: object = "x"
    for _ in range(500):
        value = [value]
    json.dumps(sanitize_json(value))
