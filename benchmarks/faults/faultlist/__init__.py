"""Thirty faults of our own in the worker's script, with right and wrong answers."""

from benchmarks.faults.faultlist.crashes import CRASHES
from benchmarks.faults.faultlist.hangs import HANGS
from benchmarks.faults.faultlist.model import Edit, Fault, Kind, Wrong
from benchmarks.faults.faultlist.results import RESULTS

FAULTS: tuple[Fault, ...] = (*HANGS, *RESULTS, *CRASHES)

__all__ = ["FAULTS", "Edit", "Fault", "Kind", "Wrong"]
