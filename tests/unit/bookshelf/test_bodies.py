"""JSON from strangers: what is taken, and what is refused before anything is made of
it."""

import time

import pytest

from bookshelf.http.bodies import DEPTH, parse_json


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ('{"a": [1, 2.5, true, null, "x"]}', {"a": [1, 2.5, True, None, "x"]}),
        (f'{{"a": {2**63 - 1}, "b": {-(2**63)}}}', {"a": 2**63 - 1, "b": -(2**63)}),
        ('{"a": "\\ud83d\\ude00"}', {"a": "\U0001f600"}),
        ('{"a": "[[[[ \\" ]]"}', {"a": '[[[[ " ]]'}),
        ("[" * DEPTH + "]" * DEPTH, None),
        ('{"a": "%s"}' % ("[" * 1000), {"a": "[" * 1000}),
    ],
)
def test_json_is_taken(text: str, value: object) -> None:
    """Brackets in strings are no nesting."""
    assert parse_json(text) == value or value is None


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * (DEPTH + 1) + "]" * (DEPTH + 1), "nested deeper"),
        ("[" * 65_000, "nested deeper"),
        ('{"a":' * 12_000, "nested deeper"),
        ('["\\\\", ' + "[" * 40, "nested deeper"),
        (str(2**63), "64 bits"),
        (str(-(2**63) - 1), "64 bits"),
        ("9" * 60_000, "64 bits"),
        ("1e999", "64 bits"),
        ("-1e999", "64 bits"),
        ("NaN", "no JSON"),
        ("[Infinity]", "no JSON"),
        ('{"a": -Infinity}', "no JSON"),
        ('{"a": 1, "a": 1}', "twice"),
        ('[{"b": {"a": 1, "a": 2}}]', "twice"),
        ('"\\ud800"', "surrogate"),
        ('{"\\udfff": 1}', "surrogate"),
        ('["\\ude00\\ud83d"]', "surrogate"),
        ("", "Expecting value"),
        ("{'a': 1}", "Expecting property name"),
        ("{} {}", "Extra data"),
        ('"\0"', "Invalid control character"),
    ],
)
def test_what_is_none_or_does_harm_is_refused_with_a_reason(
    text: str, reason: str
) -> None:
    """The reason repeats nothing of the text."""
    with pytest.raises(ValueError, match=reason):
        parse_json(text)


@pytest.mark.parametrize(
    "text", ['"' * 65_535, '"\\' * 32_000, "\\" * 65_000, '{"a": "' + "\\" * 65_000]
)
def test_looking_for_brackets_takes_no_longer_than_reading(text: str) -> None:
    """Strings that never end, and quotes that are none, do not make the look
    quadratic."""
    before = time.process_time()
    with pytest.raises(ValueError, match=r"."):
        parse_json(text)
    assert time.process_time() - before < 1
