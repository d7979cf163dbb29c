"""How often somebody may be wrong about a password. Pure: the time is told, seconds of
a clock that only goes forward.

Counted is by user and address together: whoever guesses elsewhere never keeps the owner
out, and a right password is never counted. Each pair may be wrong `ALLOWED` times, and
once more every `REFILL_SECONDS`."""

import ipaddress
import math

ALLOWED, REFILL_SECONDS = 10, 30.0
#: Pairs that are remembered; beyond, those who were wrong least are forgotten.
PAIRS = 10_000

Pair = tuple[str, str]


def pair_of(user: str, address: str | None) -> Pair:
    """The pair of a login: an IPv6 address stands for its network, since everybody has
    2^64 of them."""
    try:
        known = ipaddress.ip_address((address or "").partition("%")[0])
    except ValueError:
        return user, address or ""
    if isinstance(known, ipaddress.IPv6Address):
        mapped = known.ipv4_mapped
        return user, str(mapped or ipaddress.ip_network((known, 64), strict=False))
    return user, str(known)


class Throttle:
    """What is remembered of wrong passwords: for each pair how many count now, and when
    that was."""

    def __init__(self) -> None:
        self._wrong: dict[Pair, tuple[float, float]] = {}

    def wait(self, pair: Pair, now: float) -> int:
        """Whole seconds until this pair may try again; 0: at once."""
        surplus = self._counted(pair, now) - (ALLOWED - 1)
        return max(0, math.ceil(surplus * REFILL_SECONDS))

    def failed(self, pair: Pair, now: float) -> None:
        """The password was wrong."""
        self._wrong[pair] = self._counted(pair, now) + 1, now
        if len(self._wrong) > PAIRS:
            # Not the oldest: whoever wants to be forgotten would only have to invent
            # names.
            worst = sorted(self._wrong, key=lambda known: -self._counted(known, now))
            self._wrong = {known: self._wrong[known] for known in worst[: PAIRS // 2]}

    def _counted(self, pair: Pair, now: float) -> float:
        count, since = self._wrong.get(pair, (0.0, now))
        return max(0.0, count - (now - since) / REFILL_SECONDS)
