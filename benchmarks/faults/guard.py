"""The guard's tables with their rates: `python -m benchmarks.faults.guard`.

Hostile answers that pass (none may), and natural repairs that are refused (at most one in
ten)."""

import sys
from collections import Counter

from tests.support.monitor import guardkit, hostile
from tests.support.monitor.repairs import GIVEN, OURS


def main() -> int:
    """Prints both tables; returns 1 when one of the bounds is broken."""
    found = [this for kind in hostile.LINES for this in guardkit.hostile_lines(kind)]
    found += guardkit.hostile_changes()
    kinds = Counter(this.kind for this in found)
    passed = Counter(this.kind for this in found if not this.objections)
    print("| hostile | answers | accepted |\n| --- | --- | --- |")
    for kind, number in kinds.items():
        print(f"| {kind} | {number} | {passed[kind]} |")
    print(f"| all | {len(found)} | {passed.total()} |\n")
    for this in found:
        if not this.objections:
            print(f"accepted: {this.kind}: {this.what!r}")
    print("| repairs | answers | refused | |\n| --- | --- | --- | --- |")
    refused, number = 0, 0
    for name, repairs in (("of the case file", GIVEN), ("ours", OURS)):
        tried = [guardkit.tried(repair) for repair in repairs]
        wrong = [this for this in tried if this.objections]
        refused, number = refused + len(wrong), number + len(tried)
        said = "; ".join(f"{this.what}: {this.objections[0]}" for this in wrong)
        print(f"| {name} | {len(tried)} | {len(wrong)} | {said} |")
    print(f"| all | {number} | {refused} | {refused / number:.1%} |")
    return int(bool(passed.total()) or refused > 0.1 * number)


if __name__ == "__main__":
    sys.exit(main())
