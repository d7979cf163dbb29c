"""Evidence about a hung worker becomes a question to the LLM, its answer a Diagnosis.

The monitor never waits for it: each question is a job, a child process with a deadline.
Answers are kept by the fingerprint of their evidence, so that the same trouble is not
paid for twice, and so that the budget is a sum over files.
"""

import ast
import contextlib
import hashlib
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from auto_monitor.decide.diagnosis import (
    Answer,
    Budget,
    Facts,
    FixType,
    UnreadableReply,
    checked_again,
    patterns,
    templates,
)
from auto_monitor.decide.redact import redact, secret_values
from auto_monitor.fix_applier import in_place
from auto_monitor.model import Opinion
from auto_monitor.record import answers
from common.clock import utc_now
from common.files.json_files import write_json
from common.files.tail import last_bytes
from common.json_value import Json
from common.sanitize import sanitize_text
from common.settings.monitor import LLM_VARIABLES
from migration.state_files import logs

#: Bytes read from the log's end, and functions whose source is shown.
LOG_BYTES, FUNCTIONS = 400_000, 3
#: Answers that are kept.
NEWEST = 500
#: How long an answer may be reused.
REUSE = timedelta(hours=24)

_FRAME = re.compile(r'File "([^"]+)", line (\d+) in (\w+)')
_OF_THE_JOB = (
    *LLM_VARIABLES,
    # The gate copies some of the books that are to be done next.
    "CALIBRE_LIBRARY",
    "SSL_",
    "HTTPS_PROXY",
    "https_proxy",
    "NO_PROXY",
    "no_proxy",
)


@dataclass(slots=True)
class _Job:
    process: "subprocess.Popen[bytes]"
    began: datetime
    fingerprint: str
    facts: Facts


@dataclass(slots=True)
class LlmDebugger:
    """Asks one question at a time per worker; `clock` is the monitor's steady clock."""

    state_dir: Path
    script: Path
    project: Path
    environment: Mapping[str, str]
    budget: Budget
    clock: Callable[[], datetime]
    lines: int
    saturated: float
    _jobs: dict[int, _Job] = field(default_factory=dict)
    _answers: dict[int, Answer] = field(default_factory=dict)

    def asked(self, worker_id: int) -> bool:
        """Whether a question about this worker has been asked, answered or not."""
        return worker_id in self._jobs or worker_id in self._answers

    def forget(self, worker_id: int) -> None:
        """Drops what was asked about a worker whose trouble is over or has changed."""
        self._answers.pop(worker_id, None)
        job = self._jobs.pop(worker_id, None)
        if job is not None:
            _end(job)

    def diagnose(self, facts: Facts) -> Answer:
        """Returns the answer about a worker; pending while the job runs.

        The answer stays the same until `forget`.
        """
        answer = self._answers.get(facts.worker_id) or self._ask(facts)
        if not answer.pending:
            self._answers[facts.worker_id] = answer
        return answer

    def _ask(self, facts: Facts) -> Answer:
        job = self._jobs.get(facts.worker_id)
        if job is not None:
            return self._look(job)
        evidence = self.evidence(facts)
        fingerprint = fingerprint_of(evidence, self.script)
        known = self._known(fingerprint)
        if known is not None:
            return known
        refusal = self._over_budget()
        if refusal:
            return Answer(failure=refusal)
        self._start(facts, evidence, fingerprint)
        return Answer(pending=True)

    def disk_is_the_cause(self, facts: Facts) -> Opinion:
        """Returns what the diagnosis of a stuck worker says about the disk."""
        answer = self.diagnose(facts)
        if answer.pending:
            return Opinion.PENDING
        if answer.diagnosis is None:
            return Opinion.FAILED
        return {True: Opinion.CONFIRMS, False: Opinion.DENIES, None: Opinion.UNKNOWN}[
            answer.diagnosis.disk
        ]

    def finish(self) -> None:
        """Ends the jobs that still run."""
        for worker_id in list(self._jobs):
            self.forget(worker_id)

    # -- evidence ----------------------------------------------------------------------

    def evidence(self, facts: Facts) -> dict[str, Json]:
        """Returns everything the LLM is shown, free of secrets."""
        values = secret_values(self.environment)
        # Before they are counted as alike: a secret whose digits are replaced is no
        # longer recognized by its value.
        lines = [
            redact(line, values)
            for line in _last_lines(
                logs.log_path(self.state_dir, facts.worker_id), self.lines
            )
        ]
        stack = sanitize_text(facts.stack, multiline=True) or crash_places(lines)
        busy = facts.disk_utilization
        shown: dict[str, Json] = {
            "verdict": facts.reason,
            "minutes_stuck": facts.minutes_stuck,
            "phase": facts.phase,
            "in_hand": facts.in_hand,
            "disk_utilization_percent": busy,
            "disk_saturated": None if busy is None else busy >= self.saturated,
            "error_patterns": {**patterns(lines)},
            "earlier_attempts": list(facts.earlier),
            "root_causes_before": {**facts.causes},
            "python_stack": list(stack.splitlines()),
            "source_of_functions": {**sources(stack, self.script)},
            "last_log_lines": list(templates(lines)),
        }
        cleaned: dict[str, Json] = json.loads(
            json.dumps(shown, ensure_ascii=False), parse_constant=lambda _name: None
        )
        return {name: _clean(value, values) for name, value in cleaned.items()}

    # -- jobs --------------------------------------------------------------------------

    def _folder(self) -> Path:
        return answers.answers_dir(self.state_dir)

    def _start(self, facts: Facts, evidence: dict[str, Json], fingerprint: str) -> None:
        question = self._folder() / f"{fingerprint}.question"
        write_json(question, evidence)
        ours = {
            key: value
            for key, value in os.environ.items()
            if not key.startswith(("MBS2_", "ALERT_"))
        }
        given = {
            key: value
            for key, value in self.environment.items()
            if key.startswith(_OF_THE_JOB)
        }
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "auto_monitor.repair.llm_job",
                str(question),
                str(self._answer_path(fingerprint)),
                str(self.script),
            ],
            env={**ours, **given, "PYTHONPATH": str(self.project)},
            cwd=self.project,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._jobs[facts.worker_id] = _Job(process, self.clock(), fingerprint, facts)

    def _look(self, job: _Job) -> Answer:
        """Returns the job's answer; pending while it runs within its time."""
        if job.process.poll() is None:
            if (self.clock() - job.began).total_seconds() < self.budget.job_seconds:
                return Answer(pending=True)
            _end(job)
        del self._jobs[job.facts.worker_id]
        answer = self._read(self._answer_path(job.fingerprint))
        return answer or Answer(failure="the job ended without an answer")

    def _answer_path(self, fingerprint: str) -> Path:
        return self._folder() / f"{fingerprint}.json"

    def _known(self, fingerprint: str) -> Answer | None:
        path = self._answer_path(fingerprint)
        if not path.exists() or utc_now() - _written(path) > REUSE:
            return None
        answer = self._read(path)
        if answer is None or answer.diagnosis is None:
            return None
        if answer.diagnosis.fix_type is FixType.CODE_FIX:
            # Valid only for the script it was made from; what was refused is asked
            # about again.
            fits = (
                answer.candidate is not None
                and in_place(self.script) == answer.candidate.before
            )
            return answer if fits else None
        return answer

    def _read(self, path: Path) -> Answer | None:
        stored = answers.read(path)
        if stored is None:
            return None
        plain = Answer(model=stored.model, tokens=stored.tokens, calls=stored.calls)
        if stored.diagnosis is None:
            return replace(plain, failure=stored.error or "no answer")
        secrets = secret_values(self.environment)
        try:
            diagnosis = checked_again(stored.diagnosis)
        except UnreadableReply as why:
            return replace(plain, failure=str(why))
        if any(secret in diagnosis.code for secret in secrets):
            why_not = "the code it answered with contains a secret"
            return replace(plain, failure=why_not)
        diagnosis = replace(
            diagnosis,
            root_cause=redact(diagnosis.root_cause, secrets),
            description=redact(diagnosis.description, secrets),
        )
        return replace(
            plain,
            diagnosis=diagnosis,
            failure=redact(stored.error, secrets),
            candidate=stored.candidate,
        )

    def _over_budget(self) -> str:
        """Returns why nothing may be asked now, or ""."""
        paths = sorted(self._folder().glob("*.json"), key=_written)
        for old in paths[:-NEWEST]:
            old.unlink(missing_ok=True)
            old.with_suffix(".question").unlink(missing_ok=True)
        calls = spent(self.state_dir, timedelta(hours=1))[0]
        tokens = spent(self.state_dir, timedelta(days=1))[1]
        if calls >= self.budget.calls_per_hour:
            return (
                f"{calls} calls in the last hour; LLM_CALLS_PER_HOUR allows "
                f"{self.budget.calls_per_hour}"
            )
        if tokens >= self.budget.tokens_per_day:
            return (
                f"{tokens} tokens in the last day; LLM_TOKENS_PER_DAY allows "
                f"{self.budget.tokens_per_day}"
            )
        return ""


def spent(state_dir: Path, within: timedelta | None = None) -> tuple[int, int]:
    """Returns calls and tokens of the kept answers, optionally only within a period."""
    now, calls, tokens = utc_now(), 0, 0
    for path in answers.answers_dir(state_dir).glob("*.json"):
        if within is None or now - _written(path) < within:
            cost = answers.spent(path)
            calls, tokens = calls + cost.calls, tokens + cost.tokens
    return calls, tokens


def fingerprint_of(evidence: Mapping[str, Json], script: Path) -> str:
    """Returns what identifies trouble: place, signs, earlier attempts; not the books.

    The place is the unordered set of the script's functions that the threads are in.
    What these call differs from check to check when a thread spins. Only a stack
    without the script counts as it is.
    """
    found = evidence.get("error_patterns")
    stack = evidence.get("python_stack")
    causes = evidence.get("root_causes_before")
    frames = (
        [_FRAME.search(str(line)) for line in stack] if isinstance(stack, list) else []
    )
    places = [
        (
            f"{Path(frame[1]).name}:{frame[3]}",
            Path(frame[1]).name.startswith(script.stem),
        )
        for frame in frames
        if frame
    ]
    same = [
        str(evidence.get("phase")),
        sorted(found) if isinstance(found, dict) else [],
        sorted({name for name, ours in places if ours})
        or [name for name, _ours in places],
        evidence.get("disk_saturated"),
        evidence.get("earlier_attempts"),
        isinstance(causes, dict)
        and any(isinstance(n, int) and n >= 2 for n in causes.values()),
    ]
    return hashlib.sha256(json.dumps(same).encode()).hexdigest()[:32]


def crash_places(lines: Sequence[str]) -> str:
    """Returns where the last unforeseen error was raised, as a stack; "" without one.

    The innermost frame comes first.
    """
    crashes = [line for line in lines if f" {logs.INTERNAL_ERROR} " in line]
    return crashes[-1].replace(" | ", "\n") if crashes else ""


def sources(stack: str, script: Path) -> dict[str, str]:
    """Returns the source of up to three worker functions on the stack, innermost first.

    It is read, never run.
    """
    try:
        text = script.read_text("utf-8")
        tree = ast.parse(text)
    except (OSError, ValueError, SyntaxError):
        return {}
    named = [
        frame[3]
        for frame in _FRAME.finditer(stack)
        if Path(frame[1]).name == script.name
    ]
    functions = {
        node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)
    }
    found = [name for name in dict.fromkeys(named) if name in functions][:FUNCTIONS]
    return {name: ast.get_source_segment(text, functions[name]) or "" for name in found}


def _end(job: _Job) -> None:
    """Kills the job with all that it started: it leads its own process group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(job.process.pid, signal.SIGKILL)
    job.process.wait(10)


def _clean(value: Json, secrets: frozenset[str]) -> Json:
    if isinstance(value, str):
        return redact(value, secrets)
    if isinstance(value, list):
        return [_clean(item, secrets) for item in value]
    if isinstance(value, dict):
        return {
            redact(key, secrets): _clean(item, secrets) for key, item in value.items()
        }
    return value


def _last_lines(path: Path, count: int) -> list[str]:
    try:
        text = last_bytes(path, LOG_BYTES).decode("utf-8", "replace")
    except OSError:
        return []
    parsed = (logs.parse(line) for line in text.splitlines())
    return [
        f"{line.level} {sanitize_text(line.message)}"
        for line in parsed
        if line is not None
    ][-count:]


def _written(path: Path) -> datetime:
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, tz=UTC)
    except OSError:
        return datetime.fromtimestamp(0, tz=UTC)
