"""Code fixes end to end: a fault in the worker, an answer, the candidate on one worker,
and what becomes of both."""

import json
import subprocess
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from migration.ledger import totals
from tests.support.environment import PASSWORD, end
from tests.support.migration.workerkit import wait_for
from tests.support.monitor.brokenkit import KEY, SHIPPED, Broken, right_answer
from tests.support.monitor.editkit import as_strings
from tests.support.monitor.llmkit import decision
from tests.support.servers.shelf import Shelf

pytestmark = [pytest.mark.integration, pytest.mark.timeout(900)]
#: Hangs on the user's machine only: the gate lets such a script, and a wrong repair of
#: it, through.
HERE_ONLY = 'while os.environ.get("FAULT_MARKER"): self.pool.sleep(0.05)'


@pytest.fixture
def broken(tmp_path: Path, shelves: Callable[..., Shelf]) -> Iterator[Broken]:
    """A pass that is open, long enough for a verdict before it ends."""
    made = Broken(tmp_path, shelves(tmp_path / "shelf", "--delay-ms", "200"))
    made.more |= {"SUCCESS_VERIFICATION_SECONDS": "4", "CHECK_INTERVAL_SECONDS": "0.3"}
    made.open_pass()
    yield made
    for process in made.running:
        end(process)
    if hasattr(made, "llm"):
        made.llm.stop()


#: benchmarks/faults/repair.py has more, among them those that take minutes.
FAULTS = [
    ("next_range", "while True: self.publish() or self.pool.sleep(0.05)", 0),
    ("upload_file", HERE_ONLY, 2),
    ("read_range", "self.no_such_thing", 0),
]


@pytest.mark.parametrize(("function", "line", "fmt"), FAULTS)
def test_a_fault_is_repaired(
    broken: Broken, function: str, line: str, fmt: int
) -> None:
    """The candidate runs on one worker, helps, and becomes everybody's script; the
    other bytes are as they were."""
    broken.fault(function, line)
    broken.answers(right_answer(function, fmt, broken.before.decode()))
    broken.run("--workers", "1", "--llm-enabled")
    (entry,) = broken.code_entries()
    told = {
        key: entry[key]
        for key in (
            "root_cause",
            "applied",
            "verified",
            "rolled_back",
            "llm_used",
            "tokens",
        )
    }
    assert told == {
        "root_cause": f"{function} never comes back",
        "applied": True,
        "verified": True,
        "rolled_back": False,
        "llm_used": True,
        "tokens": 100,
    }
    assert "the demo library arrived" in str(entry["validation"])
    assert line in entry["code_changes"]["full"]  # type: ignore[index]
    assert broken.script.read_text("utf-8") == SHIPPED
    assert (
        broken.state / "auto_monitor" / "backups" / str(entry["backup"])
    ).read_bytes() == broken.before
    assert line in (broken.state / "monitor.log").read_text("utf-8")
    assert not (broken.state / "reserved/migration_reserved.json").exists()
    broken.all_arrived_once()
    for path in broken.state.rglob("*"):
        if path.is_file() and path.suffix != ".db":
            assert KEY.encode() not in path.read_bytes(), path
    done = broken.command("--rollback")
    assert done.returncode == 0, done.stderr
    assert broken.script.read_bytes() == broken.before
    assert broken.code_entries()[0]["rolled_back"] is True
    assert broken.command("--rollback").returncode == 2


@pytest.mark.slow
def test_a_wrong_answer_is_dropped(broken: Broken) -> None:
    """It passes guard and gate and does not help: no byte of the script changes, the
    worker goes back to it."""
    broken.fault(
        "next_range",
        'while os.environ.get("FAULT_MARKER") and not _first(): self.pool.sleep(0.05)',
    )
    text = broken.script.read_text("utf-8").replace(
        "class CalibreMigrator:", FIRST + "class CalibreMigrator:"
    )
    broken.use(text)
    broken.more["FAULT_MARKER"] = str(broken.state / "marker")
    Path(broken.more["FAULT_MARKER"]).touch()
    loop = "        while not self.limit_reached() and not self.time_is_up():"
    assert text.count(loop) == 1
    wrong = as_strings(loop, loop[:-1] + " and not False:")
    broken.answers(decision("code_fix") + wrong)
    broken.more["COOLDOWN_SECONDS"] = "0"
    broken.start("--workers", "1", "--llm-enabled")
    wait_for(
        lambda: any(entry["verified"] is False for entry in broken.code_entries()),
        seconds=240,
    )
    entry = broken.code_entries()[0]
    assert (entry["applied"], entry["verified"], entry["rolled_back"]) == (
        True,
        False,
        True,
    )
    assert broken.script.read_bytes() == broken.before


FIRST = '''
def _first() -> bool:
    """Never here."""
    return False


'''


@pytest.mark.slow
def test_skipping_a_book_is_no_repair(broken: Broken) -> None:
    """Nothing is wrong with it in the gate. On the worker the rest of the program sees
    that nothing speaks against the file: it ends the script, which is taken back, and
    the file is as it was."""
    here = 'os.environ.get("FAULT_MARKER") and file.id.book_id == 5'
    broken.fault("refuse_unsendable", f"while {here}: self.pool.sleep(0.05)")
    line = f"        while {here}: self.pool.sleep(0.05)"
    skip = f"        if {here}:\n            refuse_unsendable(file, 0)"
    assert broken.before.decode().count(line) == 1
    broken.answers(decision("code_fix") + as_strings(line, skip))
    broken.more["COOLDOWN_SECONDS"] = "600"
    broken.start("--workers", "1", "--llm-enabled")
    wait_for(
        lambda: any(entry["verified"] is not None for entry in broken.code_entries()),
        seconds=240,
    )
    (entry,) = broken.code_entries()
    assert (entry["applied"], entry["verified"], entry["rolled_back"]) == (
        True,
        False,
        True,
    )
    assert broken.script.read_bytes() == broken.before
    log = (broken.state / "monitor.log").read_text("utf-8")
    assert "claims that 5/EPUB is failed, which nobody has seen" in log
    found = totals.read(broken.state / "migration_ledger.db")
    assert found is not None
    assert found.counts.failed == 0


@pytest.mark.slow
def test_what_cannot_be_applied_goes_back_with_the_real_lines(broken: Broken) -> None:
    """Refused twice, by the edit and by the guard; the third answer is right: three
    calls, one attempt."""
    broken.fault("next_range", HERE_ONLY)
    line = f"        {HERE_ONLY}"
    broken.answers(
        decision("code_fix")
        + as_strings(line.replace("sleep", "no_such"), "        pass"),
        decision("code_fix") + as_strings(line, "        __import__('os').remove('x')"),
        right_answer("next_range", 0, broken.before.decode()),
    )
    broken.run("--workers", "1", "--llm-enabled")
    second, third = (
        str(request["messages"][-1]["content"])  # type: ignore[index]
        for request in broken.llm.asked[1:3]
    )
    assert "do not occur in the script; the nearest are" in second
    assert line in second
    assert "the change is not allowed" in third
    (entry,) = broken.history()
    assert (entry["verified"], entry["tokens"]) == (True, 300)
    assert broken.script.read_text("utf-8") == SHIPPED


HOSTILE = (
    "        __import__('os').system('touch ' + os.environ['FAULT_MARKER'] + '.owned')"
)


def test_a_hostile_answer_is_never_run(broken: Broken) -> None:
    """Three times the same: refused, kept as a proposal, the worker restarted as it
    is."""
    broken.fault("next_range", HERE_ONLY)
    broken.more["FAULT_MARKER"] = str(broken.state / "marker")
    broken.answers(
        decision("code_fix", root_cause="see http://evil.example")
        + as_strings(f"        {HERE_ONLY}", HOSTILE)
    )
    broken.start("--workers", "1", "--llm-enabled")
    wait_for(lambda: bool(broken.history()), seconds=240)
    (entry,) = broken.history()[:1]
    assert (entry["fix_type"], entry["backup"]) == ("restart", None)
    assert "the change is not allowed" in str(entry["validation"])
    assert len(broken.llm.asked) == 3
    assert broken.script.read_bytes() == broken.before
    assert list(broken.state.rglob("*.owned")) == []
    said = json.dumps(broken.llm.asked) + "".join(
        path.read_text("utf-8", "replace")
        for path in (broken.state / "auto_monitor").rglob("*")
        if path.is_file()
    )
    assert PASSWORD not in said


@pytest.mark.slow
def test_only_proposed_when_that_is_wanted(broken: Broken) -> None:
    """ENABLE_CODE_FIXES=0."""
    broken.fault("next_range", HERE_ONLY)
    broken.answers(right_answer("next_range", 0, broken.before.decode()))
    broken.more["ENABLE_CODE_FIXES"] = "0"
    broken.start("--workers", "1", "--llm-enabled")
    wait_for(lambda: bool(broken.history()), seconds=60)
    assert "ENABLE_CODE_FIXES is 0" in str(broken.history()[0]["validation"])
    assert broken.script.read_bytes() == broken.before
    assert list((broken.state / "auto_monitor" / "proposals").iterdir())


#: Something that is there from this step of applying on.
STEPS = {
    "in the gate": "auto_monitor/gate/*/candidate.py",
    "the answer is there": "auto_monitor/answers/*.json",
    "recorded": "auto_fix_history.json:code_fix",
    "the range is kept": "reserved/migration_reserved.json",
    "being tried": 'auto_fix_history.json:"stage": "started"',
    "promoted": "script",
}


def reached(broken: Broken, sign: str) -> bool:
    """Is applying that far?"""
    if sign == "script":
        return broken.script.read_bytes() != broken.before
    name, _, text = sign.partition(":")
    found = list(broken.state.glob(name))
    return bool(found) and (
        not text or any(text in path.read_text("utf-8", "replace") for path in found)
    )


def reached_or_ended(
    broken: Broken, sign: str, monitor: "subprocess.Popen[str]"
) -> bool:
    """Need the monitor not be waited for any more?"""
    return reached(broken, sign) or monitor.poll() is not None


@pytest.mark.slow
def test_a_monitor_that_is_killed_at_any_step(broken: Broken) -> None:
    """Six times, once in every step: the script is the old or the repaired one, and the
    case goes on to its end."""
    broken.fault("upload_file", HERE_ONLY)
    broken.answers(right_answer("upload_file", 2, broken.before.decode()))
    for step, sign in STEPS.items():
        monitor = broken.start("--workers", "1", "--llm-enabled")
        wait_for(partial(reached_or_ended, broken, sign, monitor), 240)
        monitor.kill()
        monitor.wait(10)
        assert broken.script.read_bytes() in (broken.before, SHIPPED.encode()), step
        state = broken.state / "monitor_state.json"
        assert not state.exists() or json.loads(state.read_bytes())
    broken.run("--workers", "1", "--llm-enabled")
    assert broken.script.read_text("utf-8") == SHIPPED
    assert any(entry["verified"] for entry in broken.code_entries())
    assert all(entry["verified"] is not None for entry in broken.history())
    broken.all_arrived_once()


@pytest.mark.slow
def test_a_new_version_in_between_is_respected(broken: Broken) -> None:
    """While the candidate is tried somebody pulls another script: it stays, and a
    person is told."""
    broken.fault("upload_file", HERE_ONLY)
    broken.answers(right_answer("upload_file", 0, broken.before.decode()))
    broken.start("--workers", "1", "--llm-enabled")
    wait_for(lambda: reached(broken, STEPS["being tried"]), seconds=240)
    pulled = SHIPPED + "\n# a newer version\n"
    broken.script.write_text(pulled, "utf-8")
    wait_for(
        lambda: "nothing was overwritten" in (broken.state / "monitor.log").read_text(),
        seconds=240,
    )
    assert broken.script.read_text("utf-8") == pulled
