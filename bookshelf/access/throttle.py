"""How often a password may be wrong. Pure.

Times are seconds of a monotonic clock. Failures are counted by user and address
together: guessing from elsewhere never locks the owner out, and a right password is
never counted. Each pair may fail `ALLOWED` times, and once more every `REFILL_SECONDS`.
"""

import ipaddress
import math

ALLOWED, REFILL_SECONDS = 10, 30.0
#: The most pairs remembered; beyond that, those with the fewest failures are dropped.
PAIRS = 10_000

Pair = tuple[str, str]


def pair_of(user: str, address: str | None) -> Pair:
    """Returns the pair of a login.

    An IPv6 address stands for its network, since every client has 2^64 of them.
    """
    try:
        known = ipaddress.ip_address((address or "").partition("%")[0])
    except ValueError:
        return user, address or ""
    if isinstance(known, ipaddress.IPv6Address):
        mapped = known.ipv4_mapped
        return user, str(mapped or ipaddress.ip_network((known, 64), strict=False))
    return user, str(known)


class Throttle:
    """Wrong passwords: for each pair, how many count now, and since when."""

    def __init__(self) -> None:
        self._wrong: dict[Pair, tuple[float, float]] = {}

    def wait(self, pair: Pair, now: float) -> int:
        """Returns the whole seconds until this pair may try again; 0 means at once."""
        surplus = self._counted(pair, now) - (ALLOWED - 1)
        return max(0, math.ceil(surplus * REFILL_SECONDS))

    def failed(self, pair: Pair, now: float) -> None:
        """Records a wrong password."""
        self._wrong[pair] = self._counted(pair, now) + 1, now
        if len(self._wrong) > PAIRS:
            # Not the oldest: an attacker could have his own entry dropped by inventing
            # names.
            worst = sorted(self._wrong, key=lambda known: -self._counted(known, now))
            self._wrong = {known: self._wrong[known] for known in worst[: PAIRS // 2]}

    def _counted(self, pair: Pair, now: float) -> float:
        count, since = self._wrong.get(pair, (0.0, now))
        return max(0.0, count - (now - since) / REFILL_SECONDS)
