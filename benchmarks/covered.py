"""Lines that unit and harness tests reach, by package, against the bounds.

`make coverage` measures and then runs `python -m benchmarks.covered`, which prints a
row for each folder of the program and returns 1 when one is below its bound. A line
that only real processes reach is left to the integration tests and counts as missed.
"""

import json
import subprocess
import sys
import tempfile
from collections import defaultdict
from pathlib import Path

#: Percent of the lines of every folder; of those that decide and of the worker, each
#: with all that is below it, more.
LOWEST, HIGHER = 85.0, 95.0
STRICT = ("auto_monitor/decide", "auto_monitor/repair", "migration/worker")


def measured() -> dict[str, tuple[int, int]]:
    """By package: lines that were reached, and all."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "coverage.json"
        command = [sys.executable, "-m", "coverage", "json", "-q", "-o", str(path)]
        subprocess.run(command, check=True)
        files = json.loads(path.read_bytes())["files"]
    found: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for name, file in files.items():
        package = str(Path(name).parent) if "/" in name else name
        reached, lines = found[package]
        told = file["summary"]
        found[package] = reached + told["covered_lines"], lines + told["num_statements"]
    return found


def below(found: dict[str, tuple[int, int]], name: str) -> tuple[int, int]:
    """A package with everything below it; all of them for ""."""
    under = [both for package, both in found.items() if f"{package}/".startswith(name)]
    return sum(reached for reached, _ in under), sum(lines for _, lines in under)


def main() -> int:
    """Returns 1 when a package is below its bound."""
    found = {name: both for name, both in measured().items() if both[1]}
    rows = [(name, both, LOWEST) for name, both in sorted(found.items())]
    rows += [(f"{name}/...", below(found, name + "/"), HIGHER) for name in STRICT]
    rows.append(("all", below(found, ""), LOWEST))
    wrong = 0
    for package, (reached, lines), bound in rows:
        share = 100 * reached / lines
        wrong += share < bound
        mark = f"  below {bound:.0f}" if share < bound else ""
        print(f"{package:30} {share:5.1f} %  {lines - reached:4} of {lines}{mark}")
    return int(wrong > 0)


if __name__ == "__main__":
    sys.exit(main())
