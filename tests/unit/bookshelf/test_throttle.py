"""Wrong passwords: who has to wait, for how long, and who never does."""

import pytest

from bookshelf.access.throttle import ALLOWED, PAIRS, REFILL_SECONDS, Throttle, pair_of

OWNER, STRANGER = ("admin", "192.0.2.1"), ("admin", "198.51.100.7")


def wrong(
    throttle: Throttle, pair: tuple[str, str], times: int, now: float = 0.0
) -> None:
    """So many wrong passwords at one moment."""
    for _ in range(times):
        throttle.failed(pair, now)


@pytest.mark.parametrize(
    ("times", "later", "seconds"),
    [
        (0, 0.0, 0),
        (ALLOWED - 1, 0.0, 0),
        (ALLOWED, 0.0, 30),
        (ALLOWED, REFILL_SECONDS - 0.5, 1),
        (ALLOWED, REFILL_SECONDS, 0),
        (ALLOWED + 5, 0.0, 180),
        (ALLOWED + 5, 6 * REFILL_SECONDS, 0),
    ],
)
def test_whoever_was_wrong_too_often_waits(
    times: int, later: float, seconds: int
) -> None:
    """Each wrong password counts for half a minute; ten may count at once."""
    throttle = Throttle()
    wrong(throttle, STRANGER, times)
    assert throttle.wait(STRANGER, later) == seconds


def test_nobody_waits_for_what_is_tried_elsewhere() -> None:
    """Whatever a stranger does, the owner's own address may try at once."""
    throttle = Throttle()
    wrong(throttle, STRANGER, 1000)
    assert throttle.wait(OWNER, 0.0) == 0


def test_inventing_names_does_not_make_the_server_forget() -> None:
    """Those who were wrong most are remembered; memory is bounded."""
    throttle = Throttle()
    wrong(throttle, STRANGER, ALLOWED)
    for number in range(3 * PAIRS):
        throttle.failed((f"name{number}", STRANGER[1]), 1.0)
    assert throttle.wait(STRANGER, 1.0) > 0
    assert len(throttle._wrong) <= PAIRS


@pytest.mark.parametrize(
    ("address", "known"),
    [
        ("127.0.0.1", "127.0.0.1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        (None, ""),
        ("no address", "no address"),
    ],
)
def test_an_ipv6_network_is_one_address(address: str | None, known: str) -> None:
    """Everybody has 2^64 of them."""
    assert pair_of("admin", address) == ("admin", known)
