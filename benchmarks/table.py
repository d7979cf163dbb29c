"""A table of measured figures and their goals, with the machine it was measured on."""

import os
import platform
import subprocess
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent


def machine() -> str:
    """Processor, cores, memory, system, commit and date: what a figure is worth nothing
    without."""
    model = next(
        (
            line.split(":")[1].strip()
            for line in _read("/proc/cpuinfo").splitlines()
            if line.startswith("model name")
        ),
        platform.processor(),
    )
    memory = next(
        (
            int(line.split()[1]) / 1e6
            for line in _read("/proc/meminfo").splitlines()
            if "MemTotal" in line
        ),
        0,
    )
    found = subprocess.run(
        ["git", "-C", str(PROJECT), "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
    )
    return (
        f"{model}, {os.cpu_count()} cores, {memory:.0f} GB, {platform.system()} "
        f"{platform.release()}, Python "
        f"{platform.python_version()}; commit {found.stdout.strip() or '?'}; "
        f"{datetime.now(tz=UTC):%Y-%m-%d}; load "
        f"{os.getloadavg()[0]:.1f}"
    )


@dataclass(slots=True)
class Table:
    """Rows are printed as they come, so that a run that is stopped has said
    something."""

    title: str
    missed: int = 0
    rows: list[str] = field(default_factory=list)

    def add(self, what: str, figure: str, goal: str, met: bool | None) -> None:
        """One figure; `met` None when there is no goal."""
        verdict = {None: "", True: "met", False: "MISSED"}[met]
        self.missed += met is False
        self.rows.append(f"| {what} | {figure} | {goal} | {verdict} |")
        print(self.rows[-1], flush=True)

    def show(self) -> int:
        """Prints everything; returns 1 when a goal was missed."""
        print(
            f"\n{self.title}: {machine()}\n\n| what | figure | goal | |\n| --- | --- | --- | --- |"
        )
        print("\n".join(self.rows))
        return int(self.missed > 0)


def _read(path: str) -> str:
    try:
        return Path(path).read_text("utf-8", "replace")
    except OSError:
        return ""
