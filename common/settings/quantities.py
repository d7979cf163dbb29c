"""Quantities as people write them: durations, bandwidths, classes of disk priority."""

import re

_UNITS = {"": 1024, "B": 1, "K": 1024, "M": 1024**2, "G": 1024**3}


def parse_bandwidth(text: str) -> float:
    """Bytes a second of `512K`, `1.5M`, `2G`, `100B`; 0 for no limit.

    Without a suffix KiB, as rclone has it; `0` and `off` are no limit. Raises
    ValueError."""
    if text.strip().lower() == "off":
        return 0.0
    form = r"([0-9]{1,12}(?:\.[0-9]{1,6})?)(?:([BKMG])(?:i|I)?)?"
    match = re.fullmatch(form, text.strip().upper())
    if match is None:
        raise ValueError(f"{text!r} is not a bandwidth such as 512K, 1.5M or 2G")
    return float(match[1]) * _UNITS[match[2] or ""]


def parse_duration(text: str) -> float:
    """Seconds of `90`, `45s`, `30m`, `1h30m`, `2d`; 0 for no limit. Raises
    ValueError."""
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
    """Class and level of `idle`, `best-effort` or `best-effort:0` (first) to `:7`
    (last).

    None for "". Raises ValueError.
    """
    if not text.strip():
        return None
    name, _, level = text.strip().lower().partition(":")
    known = name in ("idle", "best-effort")
    if not known or (level and (name == "idle" or level not in tuple("01234567"))):
        raise ValueError(f"{text!r} is neither idle nor best-effort:0 to best-effort:7")
    return name, int(level or 4) if name == "best-effort" else 0
