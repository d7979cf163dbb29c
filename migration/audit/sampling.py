"""How many of a pass's changed books are read back. Pure."""

import math

#: The setting's words; anything else is a percentage.
AUTO, ALL, OFF = "auto", "all", "off"
#: No setting: every book of the pass, whether it was changed or not, because a changed
#: script has taken part in it.
EVERYTHING = "everything"
#: Up to this many changed books all are read back.
ALL_UP_TO = 500
#: Of more, this percentage, and at least this many.
PERCENT, AT_LEAST = 1.0, 200


def size(setting: str, changed: int) -> int:
    """Returns how many of the changed books to read back."""
    if setting == OFF:
        return 0
    if setting == ALL or (setting == AUTO and changed <= ALL_UP_TO):
        return changed
    if setting == AUTO:
        return max(AT_LEAST, math.ceil(changed * PERCENT / 100))
    percent = float(setting.removesuffix("%"))
    return min(changed, math.ceil(changed * percent / 100))
