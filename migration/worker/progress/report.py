"""Sizes and spans of time in words. Pure."""

_UNITS = ("bytes", "kB", "MB", "GB", "TB")


def size_in_words(size: float) -> str:
    """Formats bytes in powers of 1000: 1234567 -> '1.2 MB'."""
    for unit in _UNITS:
        if size < 1000 or unit == _UNITS[-1]:
            return f"{size:.0f} {unit}" if unit == "bytes" else f"{size:.1f} {unit}"
        size /= 1000
    raise AssertionError("unreachable: the last unit always returns")


def minutes_in_words(minutes: float) -> str:
    """Formats minutes: 0.5 -> '30 s', 90 -> '1 h 30 min'."""
    seconds = round(minutes * 60)
    if seconds < 100:
        return f"{seconds} s"
    hours, rest = divmod(round(seconds / 60), 60)
    return f"{hours} h {rest} min" if hours else f"{rest} min"
