"""Kinds of values a setting can have: what is allowed, and how its text is read.
Pure."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from common.settings import quantities

T = TypeVar("T")

#: The longest text a setting may have; an environment can hold megabytes.
LONGEST = 4096

_NUMBER = re.compile(
    r"[+-]?(?:[0-9]{1,18}\.?[0-9]{0,18}|\.[0-9]{1,18})(?:[eE][+-]?[0-9]{1,2})?"
)
_WHOLE = re.compile(r"([+-]?[0-9]{1,18})(?:\.0{0,18})?")
_SWITCH = {
    "1": True,
    "true": True,
    "yes": True,
    "on": True,
    "0": False,
    "false": False,
    "no": False,
    "off": False,
}


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """`allowed` completes "X is not …"; `read` raises ValueError for everything
    else."""

    allowed: str
    read: Callable[[str], T]


def number(lowest: float, highest: float) -> Kind[float]:
    """A finite number within bounds."""

    def read(text: str) -> float:
        if not _NUMBER.fullmatch(text.strip()):
            raise ValueError(text)
        value = float(text)
        if not lowest <= value <= highest:
            raise ValueError(text)
        return value

    return Kind(f"a number from {_plain(lowest)} to {_plain(highest)}", read)


def whole(lowest: int, highest: int) -> Kind[int]:
    """A whole number within bounds."""

    def read(text: str) -> int:
        match = _WHOLE.fullmatch(text.strip())
        if match is None or not lowest <= int(match[1]) <= highest:
            raise ValueError(text)
        return int(match[1])

    return Kind(f"a whole number from {lowest} to {highest}", read)


def switch() -> Kind[bool]:
    """1 or 0, or what else people write for it."""

    def read(text: str) -> bool:
        value = _SWITCH.get(text.strip().lower())
        if value is None:
            raise ValueError(text)
        return value

    return Kind("1 or 0", read)


def choice(*words: str) -> Kind[str]:
    """One of these words."""

    def read(text: str) -> str:
        if text.strip() not in words:
            raise ValueError(text)
        return text.strip()

    return Kind(" or ".join(words), read)


def text(allowed: str = "a text of one line", pattern: str = r".+") -> Kind[str]:
    """A line of text that matches the pattern as a whole."""
    form = re.compile(pattern)

    def read(given: str) -> str:
        bare = given.strip()
        if len(bare) > LONGEST or not bare.isprintable() or not form.fullmatch(bare):
            raise ValueError(given)
        return bare

    return Kind(allowed, read)


def verbatim() -> Kind[str]:
    """A password: blanks at its ends belong to it."""

    def read(given: str) -> str:
        if len(given) > LONGEST or "\0" in given:
            raise ValueError(given)
        return given

    return Kind(f"a text of at most {LONGEST} characters", read)


def url(*schemes: str, example: str) -> Kind[str]:
    """A URL with one of these schemes, without its last slash."""
    kind = text(f"a URL such as {example}", rf"(?:{'|'.join(schemes)})://\S+")
    return Kind(kind.allowed, lambda given: kind.read(given).rstrip("/"))


def path() -> Kind[Path]:
    """A path; `~` is the user's home."""

    def read(given: str) -> Path:
        if not 0 < len(given) <= LONGEST or "\0" in given:
            raise ValueError(given)
        try:
            return Path(given).expanduser()
        except RuntimeError as error:
            raise ValueError(given) from error

    return Kind("a path on this machine", read)


def words(allowed: str, change: Callable[[str], str]) -> Kind[frozenset[str]]:
    """Words between commas, each as `change` makes it."""

    def read(given: str) -> frozenset[str]:
        if len(given) > LONGEST:
            raise ValueError(given)
        parts = (part.strip() for part in given.split(","))
        return frozenset(change(part) for part in parts if part)

    return Kind(allowed, read)


def duration(longest: float) -> Kind[float]:
    """Seconds, given as 90, 45s, 30m or 1h30m; 0 is no limit."""

    def read(given: str) -> float:
        seconds = quantities.parse_duration(given)
        if seconds > longest:
            raise ValueError(given)
        return seconds

    return Kind("a duration such as 90, 45s, 30m or 1h30m, of at most 10 years", read)


def bandwidth() -> Kind[float]:
    """Bytes a second, given as 512K, 1.5M or 2G; 0 is no limit."""

    def read(given: str) -> float:
        rate = quantities.parse_bandwidth(given)
        if rate > 1e15 or 0 < rate < 1:
            raise ValueError(given)
        return rate

    return Kind("a bandwidth such as 512K, 1.5M or 2G", read)


def ionice() -> Kind[tuple[str, int] | None]:
    """A class of disk priority."""
    return Kind("idle, or best-effort:0 to best-effort:7", quantities.parse_ionice)


def _plain(value: float) -> str:
    return f"{value:.12g}"
