"""Eleven faults in the worker, each with the LLM's right answer: seconds from the start
to verified, calls, tokens.

`python -m benchmarks.faults.repair [FAULT …]`: a real monitor, worker, server, gate; the LLM
is a scripted HTTP server that speaks the OpenAI API. Thresholds are seconds, as in the
tests: 8 s until a worker that has settled nothing is stuck."""

import sys
import tempfile
import time
from pathlib import Path

from tests.support.environment import end
from tests.support.monitor.brokenkit import SHIPPED, Broken, right_answer
from tests.support.servers.shelf import start_shelf

HERE = 'os.environ.get("FAULT_MARKER")'
#: Name, function, the line put first into it, the edit's format (0 function, 1 strings,
#: 2 diff).
FAULTS = [
    (
        "the cursor does not advance",
        "work_through",
        "while True: self.pool.queue.load(self.read_range(owned)[:0])",
        1,
    ),
    (
        "a wrong range is read",
        "read_range",
        "owned = replace(owned, first=owned.first + 1)",
        2,
    ),
    (
        "a retry without end",
        "read_library",
        "while True: self.pool.meanwhile(read, self.publish)",
        0,
    ),
    (
        "a lock held twice",
        "identify",
        "lock = __import__('threading').Lock(); lock.acquire(); lock.acquire()",
        1,
    ),
    (
        "every file taken for too big",
        "refuse_unsendable",
        "self.pool.sleep(6.0); refuse_unsendable(file, 0)",
        2,
    ),
    ("a claim that never comes", "next_range", "while True: self.publish()", 0),
    (
        "a refresh without end",
        "refresh_existing_hashes",
        "while True: self.publish()",
        1,
    ),
    ("an attribute that is not there", "read_range", "self.no_such_thing", 0),
    ("asleep in an uploader", "reach", "__import__('time').sleep(10**6)", 2),
    ("a busy loop in a decision", "excluded", "while True: pass", 0),
    ("only on this machine", "upload_file", f"while {HERE}: self.pool.heed_stop()", 1),
]


def main() -> int:
    """Prints one line per fault; returns how many were not repaired."""
    wanted, missed = sys.argv[1:], 0
    heads = ("fault", "format", "repaired", "seconds", "calls", "tokens", "attempts")
    print(f"| {' | '.join(heads)} |\n|{' --- |' * len(heads)}")
    for name, function, line, fmt in FAULTS:
        if wanted and not any(word in name for word in wanted):
            continue
        row = repair(function, line, fmt)
        missed += row[0] != "yes"
        print(
            f"| {name} | {('function', 'strings', 'diff')[fmt]} | "
            + " | ".join(row)
            + " |",
            flush=True,
        )
    return missed


def repair(function: str, line: str, fmt: int) -> tuple[str, ...]:
    """One fault: repaired?, seconds, calls, tokens, attempts."""
    with tempfile.TemporaryDirectory() as name:
        shelf = start_shelf(Path(name) / "shelf", "--delay-ms", "100")
        broken = Broken(Path(name), shelf)
        broken.more |= {
            "SUCCESS_VERIFICATION_SECONDS": "4",
            "CHECK_INTERVAL_SECONDS": "0.3",
        }
        try:
            broken.open_pass()
            broken.fault(function, line)
            broken.answers(right_answer(function, fmt, broken.before.decode()))
            began = time.monotonic()
            broken.start("--workers", "1", "--llm-enabled")
            verified = [False]
            while time.monotonic() - began < 240 and not any(verified):
                time.sleep(0.1)
                verified = [
                    entry["verified"] is True for entry in broken.code_entries()
                ]
            seconds = time.monotonic() - began
            same = broken.script.read_text("utf-8") == SHIPPED
            tokens = sum(int(str(entry["tokens"] or 0)) for entry in broken.history())
            repaired = "yes" if any(verified) and same else "NO"
            return (
                repaired,
                f"{seconds:.0f}",
                str(len(broken.llm.asked)),
                str(tokens),
                str(len(broken.history())),
            )
        finally:
            for process in broken.running:
                end(process)
            broken.llm.stop()
            end(shelf.process)


if __name__ == "__main__":
    sys.exit(main())
