"""What the monitor shows the LLM, which answers it uses again, what it may spend."""

import json
import os
import subprocess
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from auto_monitor import llm_debugger
from auto_monitor.decide.diagnosis import Answer, Budget, Facts, FixType, Tried
from auto_monitor.fix_applier import digest
from auto_monitor.llm_debugger import LlmDebugger, spent
from auto_monitor.model import Candidate, Opinion
from migration.state_files import logs
from tests.support.environment import PROJECT

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
KEY = "sk-verysecretvalue"
FACTS = Facts(3, "no progress for 9 min", 9.0, "migrating", "book 12", "", 95.0)
RESTART: dict[str, Any] = {
    "root_cause": "it hangs",
    "fix_type": "restart",
    "confidence": 0.9,
    "description": "start it anew",
    "config_changes": {},
    "code": "",
    "disk": None,
}
CANDIDATE = {
    "name": "script.x.py",
    "backup": "b",
    "before": "",
    "after": "a",
    "diff": "d",
    "validation": "passed",
}


@pytest.fixture
def debugger(tmp_path: Path) -> LlmDebugger:
    """One that may ask nothing by itself."""
    script = tmp_path / "script.py"
    script.write_text("def work():\n    while True:\n        pass\n")
    return LlmDebugger(
        state_dir=tmp_path,
        script=script,
        project=PROJECT,
        environment={"OPENAI_API_KEY": KEY},
        budget=Budget(0, 1000, 60),
        clock=lambda: NOW,
        lines=5,
        saturated=90,
    )


@dataclass
class _Job:
    """A job that ends when it is told to."""

    code: int | None = None

    def poll(self) -> int | None:
        """Its status; None while it runs."""
        return self.code


@dataclass
class _Jobs:
    """Jobs that ask nobody."""

    started: list[_Job] = field(default_factory=list)

    def start(self, *_line: object, **_more: object) -> _Job:
        """One more."""
        self.started.append(_Job())
        return self.started[-1]


def keep(debugger: LlmDebugger, facts: Facts = FACTS, **value: object) -> Path:
    """An answer of a job about this trouble."""
    path = debugger.state_dir / "auto_monitor/answers" / f"{debugger.key(facts)}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"model": "m", "tokens": 7, "calls": 1, **value}))
    return path


def test_the_evidence_has_signs_stack_and_source_and_no_secret(
    debugger: LlmDebugger, tmp_path: Path
) -> None:
    """The last lines of the log, the function it is in, and the key nowhere."""
    line = f"2026-11-24 12:00:00,000 - ERROR - HTTP 500 {KEY}\n"
    logs.log_path(tmp_path, 3).write_text(line * 7)
    stack = f'File "{debugger.script}", line 2 in work\nFile "/x/y.py", line 1 in z'
    shown = debugger.evidence(replace(FACTS, stack=stack))
    assert shown["script"] == {
        "name": "script.py",
        "source": debugger.script.read_text(),
    }
    assert shown["stacks"] == [
        {"threads": 1, "names": [], "innermost_first": stack.split("\n")}
    ]
    assert shown["error_patterns"] == {"the server answered 5xx": 5}
    assert shown["last_log_lines"] == ["5 x ERROR HTTP # [secret]"]
    assert shown["disk_saturated"] is True
    assert KEY not in json.dumps(shown)


def test_a_secret_with_digits_is_gone_from_lines_that_repeat(
    debugger: LlmDebugger, tmp_path: Path
) -> None:
    """Its digits would be replaced with all others, and the rest shown."""
    password = "tom4jerry99"
    asking = replace(debugger, environment={"MBS2_PASSWORD": password})
    lines = [f"2026-11-24 12:00:0{n},000 - ERROR - {n}: {password}" for n in range(3)]
    logs.log_path(tmp_path, 3).write_text("\n".join(lines) + "\n")
    assert asking.evidence(FACTS)["last_log_lines"] == ["3 x ERROR #: [secret]"]


def test_a_log_line_cannot_pass_for_a_crash(
    debugger: LlmDebugger, tmp_path: Path
) -> None:
    """Only what the worker's substrate has left of one counts: a server may answer, and
    a title say, whatever it likes."""
    at = f'File "{debugger.script}", line 2 in work'
    line = f"2026-11-24 12:00:00,000 - CRITICAL - {logs.INTERNAL_ERROR} KeyError | {at}"
    logs.log_path(tmp_path, 3).write_text(line + "\n")
    assert debugger.evidence(FACTS)["exception"] is None
    dead = replace(
        FACTS, error="KeyError: 'x'", crash=f'{at}\nFile "a.py", line 1 in b'
    )
    assert debugger.evidence(dead)["exception"] == {
        "error": "KeyError: 'x'",
        "frames_ours_first": [at, 'File "a.py", line 1 in b'],
    }


def test_what_makes_a_question(debugger: LlmDebugger) -> None:
    """The trouble, the script, what was tried; not the worker, and not the books."""

    def key(**more: Any) -> str:
        return debugger.key(replace(FACTS, mark="a", **more))

    once = key()
    assert once == key(worker_id=4, in_hand="book 99", minutes_stuck=7.0, stack="x")
    assert once == key(causes={"it hangs": 1})
    others = [
        debugger.key(replace(FACTS, mark="b")),
        key(phase="initializing"),
        key(causes={"it hangs": 2}),
        key(earlier=[Tried("restart", "not settled")]),
        key(earlier=[Tried("code_fix", "not settled", "-a\n+b")]),
        key(disk_utilization=10.0),
    ]
    debugger.script.write_text("def work():\n    return\n")
    assert len({once, *others, key()}) == 2 + len(others)


def test_workers_that_hang_alike_are_one_question(
    debugger: LlmDebugger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The second waits with the first, and is answered from it; only the first bears
    the cost. One that gives up takes the answer from nobody."""
    jobs = _Jobs()
    monkeypatch.setattr(subprocess, "Popen", jobs.start)
    debugger.budget = Budget(10, 1000, 60)
    second, third = replace(FACTS, worker_id=4), replace(FACTS, worker_id=5)
    for facts in (FACTS, second, third):
        assert debugger.diagnose(facts).pending
    assert len(jobs.started) == 1
    debugger.forget(5)
    keep(debugger, diagnosis=RESTART)
    jobs.started[0].code = 0
    first, other = debugger.diagnose(FACTS), debugger.diagnose(second)
    assert (first.tokens, first.calls, other.tokens, other.calls) == (7, 1, 0, 0)
    assert other.diagnosis == first.diagnosis
    debugger.forget(3)
    assert debugger.diagnose(second) == other
    debugger.forget(4)
    late = debugger.diagnose(third)
    assert (late.diagnosis, late.calls, len(jobs.started)) == (first.diagnosis, 0, 1)


def test_a_job_nobody_waits_for_any_more_is_ended(
    debugger: LlmDebugger, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the last one that did."""
    jobs, ended = _Jobs(), list[object]()
    monkeypatch.setattr(subprocess, "Popen", jobs.start)
    monkeypatch.setattr(llm_debugger, "_end", ended.append)
    debugger.budget = Budget(10, 1000, 60)
    debugger.diagnose(FACTS)
    debugger.diagnose(replace(FACTS, worker_id=4))
    debugger.forget(3)
    assert ended == []
    debugger.forget(4)
    assert len(ended) == 1
    assert debugger.diagnose(FACTS).pending
    assert len(jobs.started) == 2


def test_an_answer_is_used_again(debugger: LlmDebugger) -> None:
    """For a day; nothing is asked, and what it said is free of secrets."""
    keep(debugger, diagnosis={**RESTART, "root_cause": f"the key {KEY} is bad"})
    answer = debugger.diagnose(FACTS)
    assert answer.diagnosis is not None
    assert (answer.diagnosis.fix_type, answer.model, answer.tokens, answer.calls) == (
        FixType.RESTART,
        "m",
        0,
        0,
    )
    assert answer.diagnosis.root_cause == "the key [secret] is bad"
    assert debugger.asked(3)
    debugger.forget(3)
    assert not debugger.asked(3)


@pytest.mark.parametrize(
    "value",
    [
        {"diagnosis": None, "error": "no answer"},
        {"diagnosis": {**RESTART, "confidence": 7}},
        {"diagnosis": {**RESTART, "fix_type": "code_fix", "code": f"x = '{KEY}'"}},
        {"diagnosis": {**RESTART, "fix_type": "code_fix", "code": "x = 1"}},
        {
            "diagnosis": {**RESTART, "fix_type": "code_fix", "code": "x = 1"},
            "candidate": CANDIDATE,
        },
    ],
    ids=["none", "nonsense", "a secret in it", "refused", "of another script"],
)
def test_an_answer_of_no_use_is_asked_for_anew(
    debugger: LlmDebugger, value: dict[str, Any]
) -> None:
    """Here the budget forbids it."""
    keep(debugger, **value)
    said = "1 calls in the last hour; LLM_CALLS_PER_HOUR allows 0"
    assert debugger.diagnose(FACTS) == Answer(failure=said)


def test_a_code_fix_is_used_again_for_the_script_it_was_made_from(
    debugger: LlmDebugger,
) -> None:
    """With its candidate."""
    before = digest(debugger.script.read_bytes())
    keep(
        debugger,
        diagnosis={**RESTART, "fix_type": "code_fix", "code": "x = 1"},
        candidate={**CANDIDATE, "before": before},
    )
    answer = debugger.diagnose(FACTS)
    assert answer.candidate == Candidate("script.x.py", "b", before, "a", "d", "passed")


def test_an_old_answer_is_not_used_and_costs_nothing(debugger: LlmDebugger) -> None:
    """It is older than a day."""
    path = keep(debugger, diagnosis=RESTART)
    old = datetime.now(tz=UTC) - timedelta(days=2)
    os.utime(path, (old.timestamp(), old.timestamp()))
    assert debugger.diagnose(FACTS).failure.startswith("0 calls in the last hour")
    assert spent(debugger.state_dir) == (1, 7)
    assert spent(debugger.state_dir, timedelta(days=1)) == (0, 0)


def test_tokens_are_bounded_too(debugger: LlmDebugger) -> None:
    """Within a day."""
    debugger.budget = Budget(10, 7, 60)
    keep(debugger, replace(FACTS, phase="other"), diagnosis=RESTART)
    said = "7 tokens in the last day; LLM_TOKENS_PER_DAY allows 7"
    assert debugger.diagnose(FACTS).failure == said


@pytest.mark.parametrize(
    ("disk", "opinion"),
    [(True, Opinion.CONFIRMS), (False, Opinion.DENIES), (None, Opinion.UNKNOWN)],
)
def test_what_it_says_about_the_disk(
    debugger: LlmDebugger, disk: bool | None, opinion: Opinion
) -> None:
    """Yes, no, or nothing."""
    keep(debugger, diagnosis={**RESTART, "disk": disk})
    assert debugger.disk_is_the_cause(FACTS) is opinion


def test_one_that_cannot_be_asked_has_no_opinion(debugger: LlmDebugger) -> None:
    """The budget is spent."""
    assert debugger.disk_is_the_cause(FACTS) is Opinion.FAILED
