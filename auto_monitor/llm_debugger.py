"""Evidence about a worker becomes a question to the LLM, its answer a Diagnosis.

The monitor never waits for it: each question is a job, a child process with a deadline.
Answers are kept by what makes their question, so that the same trouble is not paid for
twice, by this worker or another, and so that the budget is a sum over files.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

from auto_monitor.decide import question
from auto_monitor.decide.diagnosis import (
    Answer,
    Budget,
    Facts,
    FixType,
    UnreadableReply,
    checked_again,
)
from auto_monitor.decide.redact import redact
from auto_monitor.decide.secret_values import secret_values
from auto_monitor.fix_applier import in_place
from auto_monitor.model import Opinion
from auto_monitor.observe.surroundings import surroundings
from auto_monitor.record import answers
from common.clock import utc_now
from common.files.json_files import write_json
from common.json_value import Json
from common.settings.monitor import LLM_VARIABLES

#: Answers that are kept.
NEWEST = 500
#: How long an answer may be reused.
REUSE = timedelta(hours=24)

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


@dataclass(slots=True)
class _Question:
    """What workers that hang or crash alike are asked about, once."""

    key: str
    asker: int
    about: set[int]
    job: _Job | None = None
    answer: Answer | None = None


@dataclass(slots=True)
class LlmDebugger:
    """Asks one question for all workers that hang or crash alike.

    `clock` is the monitor's steady clock. `at_start` says what a look at the monitor's
    start has found (`trouble`).
    """

    state_dir: Path
    script: Path
    project: Path
    environment: Mapping[str, str]
    budget: Budget
    clock: Callable[[], datetime]
    lines: int
    saturated: float
    at_start: Callable[[], str | None] = lambda: None
    _questions: list[_Question] = field(default_factory=list)
    _trouble: str | None = None

    @property
    def trouble(self) -> str | None:
        """Why the LLM does not answer, "" when it does; None while it is not known.

        By the newest question, before the first by the look at the monitor's start.
        """
        return self.at_start() if self._trouble is None else self._trouble

    def asked(self, worker_id: int) -> bool:
        """Whether a question about this worker has been asked, answered or not."""
        return self._question(worker_id) is not None

    def forget(self, worker_id: int) -> None:
        """Drops what was asked about a worker whose trouble is over or has changed.

        Others that wait for the same answer go on waiting.
        """
        one = self._question(worker_id)
        if one is None:
            return
        one.about.discard(worker_id)
        if not one.about:
            self._questions.remove(one)
            if one.job is not None:
                _end(one.job)

    def diagnose(self, facts: Facts) -> Answer:
        """Returns the answer about a worker; pending while the job runs.

        The answer stays the same until `forget`. Only the worker that was asked about
        first bears the cost. One question is asked at a time: the answer to one may
        help against another.
        """
        # Whoever raised a question may be gone, and others wait for its end.
        for other in self._questions:
            if other.job is not None:
                self._look(other)
        one = self._question(facts.worker_id) or self._asked(facts)
        if one is None:
            return Answer(pending=True)
        answer = one.answer or self._look(one)
        mine = answer.pending or one.asker == facts.worker_id
        return answer if mine else replace(answer, tokens=0, calls=0)

    def _question(self, worker_id: int) -> _Question | None:
        return next((one for one in self._questions if worker_id in one.about), None)

    def _asked(self, facts: Facts) -> _Question | None:
        """Returns the question about this worker, which another may have raised.

        None while another question is asked.
        """
        around, number = self._around(facts), facts.worker_id
        key = question.key_of(facts, around)
        for one in self._questions:
            if one.key == key:
                one.about.add(number)
                return one
        if any(one.job is not None for one in self._questions):
            return None
        new = _Question(key, number, {number})
        self._questions.append(new)
        known = self._known(key)
        refusal = "" if known is not None else self._over_budget()
        if known is not None:
            new.answer = replace(known, tokens=0, calls=0)
        elif refusal:
            new.answer = Answer(failure=refusal)
        else:
            shown = question.evidence(facts, around, utc_now(), self._secrets())
            new.job = self._start(shown, key)
        return new

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
        for one in self._questions:
            if one.job is not None:
                _end(one.job)
        self._questions.clear()

    # -- evidence ----------------------------------------------------------------------

    def evidence(self, facts: Facts) -> dict[str, Json]:
        """Returns everything the LLM is shown, free of secrets."""
        return question.evidence(facts, self._around(facts), utc_now(), self._secrets())

    def key(self, facts: Facts) -> str:
        """Returns what makes this question; alike workers have the same."""
        return question.key_of(facts, self._around(facts))

    def _around(self, facts: Facts) -> question.Surroundings:
        return surroundings(
            self.state_dir, facts.worker_id, self.script, self.lines, self.saturated
        )

    def _secrets(self) -> frozenset[str]:
        return secret_values(self.environment)

    # -- jobs --------------------------------------------------------------------------

    def _folder(self) -> Path:
        return answers.answers_dir(self.state_dir)

    def _start(self, evidence: dict[str, Json], key: str) -> _Job:
        asked = self._folder() / f"{key}.question"
        write_json(asked, evidence)
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
                str(asked),
                str(self._answer_path(key)),
                str(self.script),
            ],
            env={**ours, **given, "PYTHONPATH": str(self.project)},
            cwd=self.project,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        return _Job(process, self.clock())

    def _look(self, one: _Question) -> Answer:
        """Returns the job's answer; pending while it runs within its time."""
        job = one.job
        if job is not None and job.process.poll() is None:
            if (self.clock() - job.began).total_seconds() < self.budget.job_seconds:
                return Answer(pending=True)
            _end(job)
        one.job = None
        answer = self._read(self._answer_path(one.key))
        one.answer = answer or Answer(failure="the job ended without an answer")
        # One that was read, useful or not, came from an LLM that answers.
        self._trouble = "" if one.answer.calls else one.answer.failure
        return one.answer

    def _answer_path(self, key: str) -> Path:
        return self._folder() / f"{key}.json"

    def _known(self, key: str) -> Answer | None:
        path = self._answer_path(key)
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
            failure = redact(stored.error, self._secrets()) or "no answer"
            return replace(plain, failure=failure)
        secrets = self._secrets()
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
            old.with_suffix(".lock").unlink(missing_ok=True)
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


def _end(job: _Job) -> None:
    """Kills the job with all that it started: it leads its own process group."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(job.process.pid, signal.SIGKILL)
    job.process.wait(10)


def _written(path: Path) -> datetime:
    try:
        return datetime.fromtimestamp(path.stat().st_mtime, tz=UTC)
    except OSError:
        return datetime.fromtimestamp(0, tz=UTC)
