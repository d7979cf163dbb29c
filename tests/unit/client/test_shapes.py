"""The shapes of answers, bound by bound."""

import base64
import json

import pytest

from common.json_value import Json
from migration.server.http import shapes

HIGHEST = 2**63


@pytest.mark.parametrize(
    ("value", "is_id", "is_size"),
    [
        (-1, False, False),
        (0, False, True),
        (1, True, True),
        (HIGHEST - 1, True, True),
        (HIGHEST, False, False),
        (True, False, False),
        (1.0, False, False),
        ("1", False, False),
        (None, False, False),
    ],
)
def test_numbers_of_the_database(value: Json, is_id: bool, is_size: bool) -> None:
    """Ids begin at 1, sizes at 0; both are whole and fit the database."""
    assert (shapes.is_id(value), shapes.is_size(value)) == (is_id, is_size)


@pytest.mark.parametrize(
    ("value", "lacks"),
    [
        ({"id": 5}, ""),
        ({"id": 5, "name": "x"}, "1 keys that do not belong there"),
        ({"id": 5, "a": 1, "b": 2}, "2 keys that do not belong there"),
        ({"id": 0}, "'id' missing or of another type"),
        ({}, "'id' missing or of another type"),
        ([], "a list instead of an object"),
        (None, "a NoneType instead of an object"),
    ],
)
def test_the_answer_to_an_attachment_has_nothing_but_its_id(
    value: Json, lacks: str
) -> None:
    """Whatever number was in the path."""
    assert shapes.SOURCE(value, (7,)) == lacks


RATED = {"id": 5, "rating": 65.25}


@pytest.mark.parametrize(
    ("value", "ids", "lacks"),
    [
        (RATED, (5,), ""),
        (RATED, (), ""),
        ({**RATED, "more": 1, "and": 2}, (5,), ""),
        (RATED, (6,), "it is about something else than was asked for"),
        ({**RATED, "rating": 0}, (5,), ""),
        ({**RATED, "rating": 100}, (5,), ""),
        ({**RATED, "rating": 100.5}, (5,), "'rating' missing or of another type"),
        ({**RATED, "rating": -0.5}, (5,), "'rating' missing or of another type"),
        ({**RATED, "rating": True}, (5,), "'rating' missing or of another type"),
        ({}, (5,), "'id', 'rating' missing or of another type"),
        ({"id": 5, "rating": None, "rating_count": 0}, (5,), ""),
        (
            {"id": 5, "rating": None, "rating_count": 0},
            (6,),
            "'rating' missing or of another type",
        ),
        (
            {"id": 5, "rating": None, "rating_count": 1},
            (5,),
            "'rating' missing or of another type",
        ),
        (
            {"id": 5, "rating": None},
            (5,),
            "'rating' missing or of another type",
        ),
    ],
)
def test_a_rating_is_about_the_ebook_that_was_asked_for(
    value: Json, ids: tuple[int, ...], lacks: str
) -> None:
    """From 0 to 100; other keys do no harm."""
    assert shapes.RATED(value, ids) == lacks


@pytest.mark.parametrize(
    ("value", "lacks"),
    [
        ([{"id": 2, "code": "en"}], ""),
        ([{"id": 2, "code": ""}], "no list of 'id' and 'code'"),
        ([{"id": 2}], "no list of 'id' and 'code'"),
        ([{"id": 2, "code": "en"}, 5], "no list of 'id' and 'code'"),
        ([], "no list of 'id' and 'code'"),
        ({"id": 2, "code": "en"}, "no list of 'id' and 'code'"),
    ],
)
def test_a_vocabulary_is_a_list_that_is_not_empty(value: Json, lacks: str) -> None:
    """Every item has both."""
    assert shapes.vocabulary("code")(value, ()) == lacks


def token(claims: Json) -> str:
    """A JWT with these claims, unsigned."""
    body = base64.urlsafe_b64encode(json.dumps(claims).encode()).decode().rstrip("=")
    return f"e30.{body}.sig"


@pytest.mark.parametrize(
    ("claims", "found"),
    [
        ({"id": 1}, True),
        ({"id": 1, "exp": 5}, True),
        ({"id": 1, "exp": 5.5, "x": "y"}, True),
        ({"id": 1, "exp": "5"}, False),
        ({"id": 1, "exp": True}, False),
        ({"id": 0}, False),
        ({"exp": 5}, False),
        ([1], False),
    ],
)
def test_claims_need_a_user(claims: Json, found: bool) -> None:
    """And a time that is a number, if any."""
    assert shapes.claims(token(claims)) == (claims if found else {})
