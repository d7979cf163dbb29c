"""Repairs as an engineer would write them, each with the fault that it mends.

Those of the case file (`given`), and forty-three of our own from the same kinds of
faults, written before the guard was looked at. They are the measure of its false
refusals. `SCRIPT` is the policy script as it was then, of which they are replacements,
so that the measure stays the same when the script changes.
"""

from pathlib import Path

from tests.support.monitor.repairs import crashes, given, hangs, leaks, results
from tests.support.monitor.repairs.kinds import Repair

GIVEN: tuple[Repair, ...] = given.REPAIRS
OURS: tuple[Repair, ...] = (
    *hangs.REPAIRS,
    *crashes.REPAIRS,
    *leaks.REPAIRS,
    *results.REPAIRS,
)
ALL = (*GIVEN, *OURS)
SCRIPT = Path(__file__).with_name("script.txt").read_text("utf-8")
