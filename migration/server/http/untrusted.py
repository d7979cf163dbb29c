"""JSON of an answer: parsed within bounds, since any proxy can answer. Pure."""

import json
import math

from common.json_value import Json

#: How deep an answer may be nested; those of the protocol are 5 deep.
DEEPEST = 32
_HIGHEST = 2**63


def parsed(body: bytes) -> Json:
    """Parses the JSON of an answer.

    Raises ValueError when it is not JSON, or not safe to work with. Bounds: depth
    (`DEEPEST`), whole numbers (64 bits, as the server's), finite fractions, no lone
    surrogates, no duplicate keys.
    """
    try:
        value: Json = json.loads(
            body.decode("utf-8"),
            parse_int=_whole,
            parse_float=_finite,
            parse_constant=_no_number,
            object_pairs_hook=_said_once,
        )
        if _too_deep(value):
            raise ValueError(f"it is nested more than {DEEPEST} deep")
        if b"\\u" in body:
            json.dumps(value, ensure_ascii=False).encode()
    except RecursionError:
        raise ValueError(f"it is nested more than {DEEPEST} deep") from None
    return value


def _said_once(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is in it twice")
    return found


def _whole(digits: str) -> int:
    number = int(digits) if len(digits) <= 20 else _HIGHEST
    if not -_HIGHEST <= number < _HIGHEST:
        raise ValueError(f"{digits[:20]}… is too large a number")
    return number


def _finite(digits: str) -> float:
    number = float(digits) if len(digits) <= 400 else math.inf
    if not math.isfinite(number):
        raise ValueError(f"{digits[:20]} is too large a number")
    return number


def _no_number(name: str) -> float:
    raise ValueError(f"{name} is no number")


def _too_deep(value: Json) -> bool:
    level: list[Json] = [value]
    for _ in range(DEEPEST):
        level = [
            child
            for item in level
            if isinstance(item, dict | list)
            for child in (item.values() if isinstance(item, dict) else item)
        ]
        if not level:
            return False
    return any(isinstance(item, dict | list) for item in level)
