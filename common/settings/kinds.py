"""Kinds of values a setting can have: what is allowed, and how text is parsed. Pure."""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")

#: The longest text a setting may have, in characters; an environment can hold
#: megabytes. A list of names may be longer.
LONGEST = 4096
LONGEST_LIST = 32_768

_NUMBER = re.compile(
    r"[+-]?(?:[0-9]{1,18}\.?[0-9]{0,18}|\.[0-9]{1,18})(?:[eE][+-]?[0-9]{1,2})?"
)
_WHOLE = re.compile(r"([+-]?[0-9]{1,18})(?:\.0{0,18})?")
_UNITS = {"": 1024, "B": 1, "K": 1024, "M": 1024**2, "G": 1024**3}
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
    """`allowed` completes "X is not …".

    `read` raises ValueError for everything else; `hint` says what is wrong with it, if
    that can be told. `is_path`: a relative one means
    something else in each folder.
    """

    allowed: str
    read: Callable[[str], T]
    is_path: bool = False
    hint: Callable[[str], str] = lambda _text: ""


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
    """1 or 0, or a usual word for it."""

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
    """A line of text that matches the pattern completely."""
    form = re.compile(pattern)

    def read(given: str) -> str:
        bare = given.strip()
        if len(bare) > LONGEST or not bare.isprintable() or not form.fullmatch(bare):
            raise ValueError(given)
        return bare

    return Kind(allowed, read)


def verbatim() -> Kind[str]:
    """A password: leading and trailing blanks belong to it."""

    def read(given: str) -> str:
        if len(given) > LONGEST or "\0" in given:
            raise ValueError(given)
        return given

    return Kind(f"a text of at most {LONGEST} characters", read)


def url(*schemes: str, example: str) -> Kind[str]:
    """A URL with one of these schemes, without a trailing slash."""
    kind = text(f"a URL such as {example}", rf"(?:{'|'.join(schemes)})://\S+")

    def read(given: str) -> str:
        if _wrong_in_url(given.strip(), schemes):
            raise ValueError(given)
        return kind.read(given).rstrip("/")

    return Kind(kind.allowed, read, hint=lambda given: _wrong_in_url(given, schemes))


def _wrong_in_url(given: str, schemes: tuple[str, ...]) -> str:
    """Returns what is wrong with a URL, or "". Nothing of it is quoted: a login may be."""
    scheme, divided, rest = given.strip().partition("://")
    if not divided:
        return f"{schemes[0]}:// is missing before it"
    if scheme not in schemes:
        return f"it begins with neither {':// nor '.join(schemes)}://"
    host = re.split(r"[/?#]", rest)[0].rpartition("@")[2]
    if host.count(":") > 1 and not host.startswith("["):
        return f"an IPv6 address is in brackets: {scheme}://[::1]:6006"
    try:
        parts = urlsplit(given.strip())
        port = parts.port
    except ValueError:
        return "the host is an address in brackets, and the port a number to 65535"
    if not parts.hostname:
        return "no host is named in it"
    return "" if port != 0 else "the port is a number from 1 to 65535"


def path() -> Kind[Path]:
    """A path; `~` is the user's home."""

    def read(given: str) -> Path:
        if not 0 < len(given) <= LONGEST or "\0" in given:
            raise ValueError(given)
        try:
            return Path(given).expanduser()
        except RuntimeError as error:
            raise ValueError(given) from error

    return Kind("a path on this machine", read, is_path=True)


def words(allowed: str, change: Callable[[str], str]) -> Kind[frozenset[str]]:
    """Words separated by commas, each converted by `change`."""

    def read(given: str) -> frozenset[str]:
        if len(given) > LONGEST:
            raise ValueError(given)
        parts = (part.strip() for part in given.split(","))
        return frozenset(change(part) for part in parts if part)

    return Kind(allowed, read)


def some_of(*allowed: str) -> Kind[frozenset[str]]:
    """Some of these words, between commas."""

    def read(given: str) -> frozenset[str]:
        found = frozenset(part.strip() for part in given.split(",")) - {""}
        if not found or not found <= set(allowed):
            raise ValueError(given)
        return found

    return Kind(f"one or more of {', '.join(allowed)}, between commas", read)


def several(allowed: str, read: Callable[[str], Iterable[T]]) -> Kind[tuple[T, ...]]:
    """Values of an option that may be given several times; in a variable between `;`.

    `\\;` is a semicolon that belongs to a value. `read` may make several of one.
    """

    def read_all(given: str) -> tuple[T, ...]:
        if len(given) > LONGEST_LIST or "\0" in given:
            raise ValueError(given)
        texts = [part.strip() for part in _parts(given)]
        found = [value for part in texts if part for value in read(part)]
        if not found:
            raise ValueError(given)
        return tuple(dict.fromkeys(found))

    return Kind(f"{allowed}; several between ;", read_all)


_LABEL = re.compile(r"#?[a-z_][a-z0-9_]{0,127}")


def column_labels(given: str) -> list[str]:
    """Returns labels of Calibre's custom columns, with their `#`. Raises ValueError."""
    found = [part.strip() for part in given.split(",")]
    if not all(_LABEL.fullmatch(label) for label in found):
        raise ValueError(given)
    return [f"#{label.removeprefix('#')}" for label in found]


def shelves() -> Kind[tuple[str, ...]]:
    """What becomes bookshelves: words and labels between commas, or none."""

    def read(given: str) -> tuple[str, ...]:
        parts = list(dict.fromkeys(part.strip() for part in given.split(",")))
        if parts == ["none"]:
            return ()
        words = [part for part in parts if part in ("tags", "comments")]
        labels = [part for part in parts if part.startswith("#")]
        if len(words) + len(labels) != len(parts):
            raise ValueError(given)
        return (*words, *(column_labels(",".join(labels)) if labels else ()))

    return Kind("none, or tags, comments and #columns between commas", read)


def joined(texts: Iterable[str]) -> str:
    """Returns what `several` takes apart into these texts."""
    return ";".join(text.replace("\\", "\\\\").replace(";", "\\;") for text in texts)


def _parts(given: str) -> list[str]:
    """Splits at semicolons without a backslash."""
    return [
        re.sub(r"\\(.)", r"\1", part)
        for part in re.findall(r"((?:\\.|[^;\\])+)", given, re.DOTALL)
    ]


def duration(longest: float) -> Kind[float]:
    """Seconds, given as 90, 45s, 30m or 1h30m; 0 means no limit."""

    def read(given: str) -> float:
        seconds = parse_duration(given)
        if seconds > longest:
            raise ValueError(given)
        return seconds

    return Kind("a duration such as 90, 45s, 30m or 1h30m, of at most 10 years", read)


def interval(shortest: float, longest: float) -> Kind[float]:
    """Seconds between two events, given as 90, 45s, 15m or 1h30m."""

    def read(given: str) -> float:
        seconds = parse_duration(given)
        if not shortest <= seconds <= longest:
            raise ValueError(given)
        return seconds

    bounds = f"from {_plain(shortest)} to {_plain(longest)} seconds"
    return Kind(f"a duration such as 90, 45s, 15m or 1h30m, {bounds}", read)


def bandwidth() -> Kind[float]:
    """Bytes per second, given as 512K, 1.5M or 2G; 0 means no limit."""

    def read(given: str) -> float:
        rate = parse_bandwidth(given)
        if rate > 1e15 or 0 < rate < 1:
            raise ValueError(given)
        return rate

    return Kind("a bandwidth such as 512K, 1.5M or 2G", read)


_PIXELS = re.compile(r"([1-9][0-9]{0,4})[xX]([1-9][0-9]{0,4})")


def pixels() -> Kind[tuple[int, int]]:
    """Width and height of a picture."""

    def read(given: str) -> tuple[int, int]:
        match = _PIXELS.fullmatch(given.strip())
        if match is None:
            raise ValueError(given)
        return int(match[1]), int(match[2])

    return Kind("WIDTHxHEIGHT in pixels, such as 320x452", read)


def ionice() -> Kind[tuple[str, int] | None]:
    """An I/O scheduling class."""
    return Kind("idle, or best-effort:0 to best-effort:7", parse_ionice)


def _plain(value: float) -> str:
    return f"{value:.12g}"


def parse_bandwidth(text: str) -> float:
    """Bytes a second of `512K`, `1.5M`, `2G`, `100B`; 0 for no limit.

    Without a suffix KiB, as rclone has it; `0` and `off` are no limit. Raises ValueError.
    """
    if text.strip().lower() == "off":
        return 0.0
    form = r"([0-9]{1,12}(?:\.[0-9]{1,6})?)(?:([BKMG])(?:i|I)?)?"
    match = re.fullmatch(form, text.strip().upper())
    if match is None:
        raise ValueError(f"{text!r} is not a bandwidth such as 512K, 1.5M or 2G")
    return float(match[1]) * _UNITS[match[2] or ""]


def parse_duration(text: str) -> float:
    """Seconds of `90`, `45s`, `30m`, `1h30m`, `2d`; 0 for no limit. Raises ValueError."""
    plain = text.strip().lower()
    if re.fullmatch(r"[0-9]{1,9}(\.[0-9]{1,6})?", plain):
        return float(plain)
    form = "".join(f"(?:([0-9]{{1,6}}){unit})?" for unit in "dhms")
    match = re.fullmatch(form, plain)
    if match is None or not plain:
        raise ValueError(f"{text!r} is not a duration such as 90, 45s, 30m or 1h30m")
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)


def parse_ionice(text: str) -> tuple[str, int] | None:
    """Class and level of `idle`, `best-effort` or `best-effort:0` (first) to `:7` (last).

    None for "". Raises ValueError.
    """
    if not text.strip():
        return None
    name, _, level = text.strip().lower().partition(":")
    known = name in ("idle", "best-effort")
    if not known or (level and (name == "idle" or level not in tuple("01234567"))):
        raise ValueError(f"{text!r} is neither idle nor best-effort:0 to best-effort:7")
    return name, int(level or 4) if name == "best-effort" else 0
