"""Converts JSON to frozen values and back, by cattrs; invalid input becomes None.

Not for the worker's start: importing cattrs takes a fifth of it (see
`migration/state_files/progress.py`).
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, TypeVar, get_args, get_origin

import cattrs
from cattrs.gen import make_dict_structure_fn, make_dict_unstructure_fn, override
from cattrs.preconf.json import make_converter

from common.json_value import Json

T = TypeVar("T")
#: What structuring raises for invalid input.
NONSENSE = (
    cattrs.BaseValidationError,
    ValueError,
    TypeError,
    KeyError,
    AttributeError,
    RecursionError,
)


def converter() -> cattrs.Converter:
    """Returns a converter that converts nothing silently.

    A number in quotes is not a number, and a time must have its zone.
    """
    made = make_converter(detailed_validation=False)
    for kind, check in _EXACT.items():
        made.register_structure_hook(kind, check)
    made.register_structure_hook(datetime, _moment)
    made.register_structure_hook_func(
        _is_by_number, lambda value, kind: _by_number(value, kind, made)
    )
    made.register_structure_hook_func(
        lambda kind: kind == Json, lambda value, _kind: value
    )
    return made


def rename(made: cattrs.Converter, renamed: type, keys: Mapping[str, str]) -> None:
    """Gives the fields of this type these keys in JSON."""
    named: dict[str, Any] = {name: override(rename=key) for name, key in keys.items()}
    made.register_structure_hook(
        renamed, make_dict_structure_fn(renamed, made, **named)
    )
    made.register_unstructure_hook(
        renamed, make_dict_unstructure_fn(renamed, made, **named)
    )


def read_as(kind: type[T], value: object, by: cattrs.Converter) -> T | None:
    """Returns the object as a value of this type, or None if it is not one."""
    if not isinstance(value, dict):
        return None
    try:
        return by.structure(value, kind)
    except NONSENSE:
        return None


def _exactly(expected: type) -> Callable[[Any, Any], Any]:
    """Rejects a `bool` as an `int`; a text may be the value of an enum."""

    def check(value: object, kind: Callable[[object], object]) -> object:
        if not isinstance(value, expected) or (
            expected is int and isinstance(value, bool)
        ):
            raise ValueError(value)
        return kind(value)

    return check


def _number(value: object, _kind: object) -> float:
    if type(value) not in (int, float):
        raise ValueError(value)
    return float(value)  # type: ignore[arg-type]  # checked in the line before


def _is_by_number(kind: Any) -> bool:
    return get_origin(kind) in (dict, Mapping) and get_args(kind)[0] is int


def _by_number(value: Any, kind: Any, made: cattrs.Converter) -> dict[int, Any]:
    """Converts the keys of a JSON object, which are texts, to numbers."""
    return {
        int(key): made.structure(item, get_args(kind)[1]) for key, item in value.items()
    }


def _moment(value: object, _kind: object) -> datetime:
    moment = datetime.fromisoformat(value)  # type: ignore[arg-type]  # what is no text raises TypeError
    if moment.tzinfo is None:
        raise ValueError(value)
    return moment


_EXACT: dict[type, Callable[[Any, Any], Any]] = {
    int: _exactly(int),
    str: _exactly(str),
    bool: _exactly(bool),
    float: _number,
}
