"""One fault with one way of answering: a monitor, four workers, a server, the gate."""

import json
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.faults.faultlist import Fault
from benchmarks.faults.faultlist.library import users_library
from migration.ledger import totals
from tests.support.environment import end
from tests.support.libraries.truth import look, troubles
from tests.support.monitor.brokenkit import SHIPPED, Broken
from tests.support.monitor.watchkit import SHORT
from tests.support.servers.shelf import start_shelf

WORKERS = 4
#: Seconds after which an incident counts as not mended, and a look at its history.
MOST_SECONDS, LOOK_SECONDS = 600.0, 0.2
#: What a token is worth in characters, when the LLM is a scripted one.
CHARACTERS = 4
_LLM = ("OPENAI_BASE_URL", "OPENAI_API_KEY", "OPENAI_MODEL")


@dataclass(frozen=True, slots=True)
class Ended:
    """How an incident ended.

    `verified` are the seconds from the fault to the verdict, None without one. `kept`
    says that another script than the broken one is in place; `dropped` are the answers
    that were tried and taken back, `refused` those that were not tried.
    """

    verified: float | None
    calls: int
    tokens: int
    kept: bool
    dropped: int
    refused: int
    status: int | None
    troubles: tuple[str, ...]
    said: str


class Incident(Broken):
    """The user's library, with the fault in the script of all workers."""

    def __init__(self, folder: Path, fault: Fault) -> None:
        self.state = folder / "state"
        self.state.mkdir()
        self.library, self.wanted = users_library(
            folder / "library",
            missing_file=fault.missing_file,
            more=fault.more_books,
        )
        self.shelf = start_shelf(folder / "shelf", "--delay-ms", "60")
        self.running = []
        self.more = {
            **SHORT,
            "CHECK_INTERVAL_SECONDS": "0.3",
            "SUCCESS_VERIFICATION_SECONDS": "4",
            "TASK_SECONDS": "20",
            **fault.setting,
        }
        self.use(fault.broken(SHIPPED))
        # A busy machine may need it: what is measured is not the gate's limit.
        self.more["GATE_SECONDS"] = "120"
        self.fault_of = fault

    def begin(self) -> None:
        """Starts the monitor with its workers, under the fault's limits."""
        self.open_pass()
        monitor = self.start("--workers", str(WORKERS), "--llm-enabled")
        if self.fault_of.descriptors:
            most = (self.fault_of.descriptors,) * 2
            resource.prlimit(monitor.pid, resource.RLIMIT_NOFILE, most)
        if self.fault_of.memory:
            most = (self.fault_of.memory,) * 2
            resource.prlimit(monitor.pid, resource.RLIMIT_AS, most)

    def ended(self, verified: float | None) -> Ended:
        """Looks at what is there now."""
        tried = self.code_entries()
        unproved = [*troubles(look(self.shelf.data_dir), self.wanted)]
        found = totals.read(self.state / "migration_ledger.db")
        if found is None or found.closed_at is None:
            unproved.append("the pass is open")
        elif found.differences:
            unproved.append(f"{found.differences} differences")
        return Ended(
            verified,
            self.calls(),
            self.tokens(),
            self.script.read_bytes() != self.before,
            sum(bool(entry["applied"]) and not entry["verified"] for entry in tried),
            sum("not allowed" in str(entry["validation"]) for entry in self.history()),
            self.running[-1].poll(),
            tuple(unproved),
            "; ".join(f"{e['fix_type']}: {e['reason']}" for e in self.history()[-4:]),
        )

    def calls(self) -> int:
        """How often the LLM was called."""
        if hasattr(self, "llm"):
            return len(self.llm.asked)
        return sum(int(str(entry.get("calls") or 0)) for entry in self.history())

    def tokens(self) -> int:
        """What that cost, questions and answers; by their length with a scripted LLM."""
        if hasattr(self, "llm"):
            asked = [json.dumps(one["messages"]) for one in self.llm.asked]
            return sum(map(len, asked)) // CHARACTERS
        return sum(int(str(entry["tokens"] or 0)) for entry in self.history())

    def stop(self) -> None:
        """Ends everything."""
        for process in self.running:
            end(process)
        if hasattr(self, "llm"):
            self.llm.stop()
        end(self.shelf.process)


def run(
    fault: Fault,
    replies: Sequence[str],
    over: Callable[[Incident], bool],
    keep: Path | None = None,
) -> Ended:
    """Lets the LLM answer so, until the monitor ends or it is over.

    Without replies the LLM is the one of the environment. The state directory is moved
    to `keep`.
    """
    with tempfile.TemporaryDirectory() as name:
        incident = Incident(Path(name), fault)
        try:
            if replies:
                incident.answers(*replies)
            else:
                incident.more |= {one: os.environ.get(one, "") for one in _LLM}
            incident.begin()
            began, verified = time.monotonic(), None
            while time.monotonic() - began < MOST_SECONDS:
                time.sleep(LOOK_SECONDS)
                if verified is None and any(
                    entry["verified"] for entry in incident.code_entries()
                ):
                    verified = time.monotonic() - began
                if incident.running[-1].poll() is not None or over(incident):
                    break
            return incident.ended(verified)
        finally:
            incident.stop()
            if keep is not None:
                shutil.rmtree(keep, ignore_errors=True)
                shutil.copytree(incident.state, keep, symlinks=True)
