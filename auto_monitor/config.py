"""Every setting of the monitor with its unit and its reason; builds the policies.

Each constant can be overridden by an environment variable of its own name; what each is
for says the model in `common/settings/monitor.py`, and docs/settings.md, which is
written from it. A value that makes no sense is reported by `check`."""

import os
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from auto_monitor.decide.detection import DetectionPolicy
from auto_monitor.decide.diagnosis import Budget
from auto_monitor.decide.healing import HealingPolicy
from auto_monitor.decide.scaling import ScalingPolicy
from common.errors import CodedError
from common.settings.load import WrongSetting, read, sources
from common.settings.monitor import MonitorSettings

PROJECT = Path(__file__).resolve().parent.parent


class Misconfigured(CodedError):
    """A setting makes no sense; the message names it, says why, and what would do."""

    code = "misconfigured"


def _read() -> tuple[MonitorSettings, list[str]]:
    """What an import finds; what is wrong is told by `check`, and the default holds
    until then."""
    try:
        return read(MonitorSettings, sources(PROJECT, os.environ))
    except WrongSetting as error:
        return MonitorSettings(), [str(error)]


#: The settings without a command line; the constants below are the same, by the names
#: that stay.
GIVEN, _PROBLEMS = _read()

#: Seconds without progress after which a worker that has settled a file is stuck.
STUCK_THRESHOLD_SECONDS = GIVEN.stuck_threshold_seconds
#: The same while it starts or discovers: a first look at 1.7 million books takes its
#: time.
DISCOVERY_THRESHOLD_SECONDS = GIVEN.discovery_threshold_seconds
#: Seconds between two looks.
CHECK_INTERVAL_SECONDS = GIVEN.check_interval_seconds
#: Seconds between two attempts on the same worker, counted from the attempt.
COOLDOWN_SECONDS = GIVEN.cooldown_seconds
#: Attempts on one worker before it is paused and a person is told.
MAX_FIX_ATTEMPTS = GIVEN.max_fix_attempts
#: Seconds after which an attempt must show that it helped ...
SUCCESS_VERIFICATION_SECONDS = GIVEN.success_verification_seconds
#: ... and at most this many, as long as work moves: a large file takes its time.
VERIFICATION_AT_MOST_SECONDS = GIVEN.verification_at_most_seconds
#: text, or json: the logs also as NDJSON, in files beside them.
LOG_FORMAT = GIVEN.log_format
#: Lines of the worker's log that the LLM is shown.
LOG_LINES_TO_ANALYZE = GIVEN.log_lines_to_analyze
#: Calls of the LLM in one hour, and tokens in one day, at most.
LLM_CALLS_PER_HOUR = GIVEN.llm_calls_per_hour
LLM_TOKENS_PER_DAY = GIVEN.llm_tokens_per_day
#: Seconds for one question with its re-ask; the worker is restarted without an answer
#: after that.
LLM_JOB_SECONDS = GIVEN.llm_job_seconds
#: Seconds for one call.
OPENAI_TIMEOUT_SECONDS = GIVEN.openai_timeout_seconds
#: Below this a code fix is asked about once more.
CODE_FIX_MIN_CONFIDENCE = GIVEN.code_fix_min_confidence
#: 1: code fixes that pass guard and gate are tried on the stuck worker; 0: they are
#: only proposed.
ENABLE_CODE_FIXES = GIVEN.enable_code_fixes
#: Seconds a candidate gets to migrate the demo library in the sandbox.
GATE_SECONDS = GIVEN.gate_seconds
#: Workers that should run.
TARGET_WORKER_COUNT = GIVEN.target_worker_count
#: Never fewer ...
MIN_WORKER_COUNT = GIVEN.min_worker_count
#: ... and never more, whatever the disk says.
MAX_WORKER_COUNT = GIVEN.max_worker_count
#: Percent of time the disk is busy from which it is saturated.
DISK_IO_SATURATED_THRESHOLD = GIVEN.disk_io_saturated_threshold
#: Percent below which it has room for one more worker.
DISK_IO_NORMAL_THRESHOLD = GIVEN.disk_io_normal_threshold
#: Seconds after one worker was stopped before another one is.
DISK_IO_SCALE_DOWN_COOLDOWN = GIVEN.disk_io_scale_down_cooldown
#: Seconds after the number changed before a worker is added.
DISK_IO_SCALE_UP_COOLDOWN = GIVEN.disk_io_scale_up_cooldown
#: Seconds between two looks at the number of workers.
SCALE_CHECK_SECONDS = GIVEN.scale_check_seconds
#: Seconds over which iostat measures.
IOSTAT_SECONDS = GIVEN.iostat_seconds
#: Seconds a worker gets to end after SIGTERM before it is killed; it saves within 7.
KILL_GRACE_SECONDS = GIVEN.kill_grace_seconds
#: Seconds to wait at most for the stack of a hung worker.
STACK_SECONDS = GIVEN.stack_seconds
#: Seconds the server and the library's disk get to answer when workers hang.
PROBE_ANSWER_SECONDS = GIVEN.probe_answer_seconds
#: Seconds between two looks for workers that have ended: cheap, and a killed one need
#: not wait for the next round.
CHILD_SECONDS = GIVEN.child_seconds
#: Seconds the report of a pass that was closed may take; 0 writes none.
REPORT_SECONDS = GIVEN.report_seconds
#: Seconds workers get to end by themselves when the pass has closed.
CLOSING_SECONDS = GIVEN.closing_seconds


def check() -> None:
    """Raises WrongSetting with every setting that makes no sense, a line for each, and
    Misconfigured when some contradict each other."""
    if _PROBLEMS:
        raise WrongSetting("\n".join(_PROBLEMS))
    check_together(GIVEN)


def check_together(given: MonitorSettings) -> None:
    """Raises Misconfigured when settings contradict each other."""
    problems = []
    if given.min_worker_count > given.max_worker_count:
        problems.append(
            f"MIN_WORKER_COUNT {given.min_worker_count} is more than "
            f"MAX_WORKER_COUNT {given.max_worker_count}"
        )
    if given.disk_io_normal_threshold > given.disk_io_saturated_threshold:
        problems.append(
            "DISK_IO_NORMAL_THRESHOLD is more than DISK_IO_SATURATED_THRESHOLD"
        )
    if problems:
        raise Misconfigured("\n".join(problems))


def require_llm_key(given: MonitorSettings) -> None:
    """Raises Misconfigured when there is nobody to ask."""
    if not (given.openai_api_key or given.openai_base_url):
        raise Misconfigured(
            "--llm-enabled needs OPENAI_API_KEY (or OPENAI_BASE_URL of a server of "
            "your own) in auto_monitor/.env "
            "or in the environment"
        )


def ends_at(seconds: float = GIVEN.max_duration) -> float | None:
    """When, by `time.monotonic`, the time of the whole is up that begins now; None
    without a limit."""
    return time.monotonic() + seconds if seconds else None


def detection_policy(
    threshold_seconds: float = STUCK_THRESHOLD_SECONDS,
) -> DetectionPolicy:
    """When is a worker stuck?"""
    discovery = max(DISCOVERY_THRESHOLD_SECONDS, threshold_seconds)
    return DetectionPolicy(
        timedelta(seconds=threshold_seconds), timedelta(seconds=discovery)
    )


def healing_policy() -> HealingPolicy:
    """What may be done about it?"""
    return HealingPolicy(
        MAX_FIX_ATTEMPTS,
        timedelta(seconds=COOLDOWN_SECONDS),
        timedelta(seconds=SUCCESS_VERIFICATION_SECONDS),
        timedelta(
            seconds=max(SUCCESS_VERIFICATION_SECONDS, VERIFICATION_AT_MOST_SECONDS)
        ),
        window=timedelta(
            seconds=max(STUCK_THRESHOLD_SECONDS, SUCCESS_VERIFICATION_SECONDS)
        ),
    )


def llm_budget() -> Budget:
    """What may be spent on an LLM?"""
    return Budget(LLM_CALLS_PER_HOUR, LLM_TOKENS_PER_DAY, LLM_JOB_SECONDS)


def scaling_policy(target: int = TARGET_WORKER_COUNT) -> ScalingPolicy:
    """How many workers?"""
    return ScalingPolicy(
        min(max(target, MIN_WORKER_COUNT), MAX_WORKER_COUNT),
        MIN_WORKER_COUNT,
        MAX_WORKER_COUNT,
        DISK_IO_SATURATED_THRESHOLD,
        DISK_IO_NORMAL_THRESHOLD,
        timedelta(seconds=DISK_IO_SCALE_DOWN_COOLDOWN),
        timedelta(seconds=DISK_IO_SCALE_UP_COOLDOWN),
    )


@dataclass(frozen=True, slots=True)
class Policies:
    """Every threshold of a monitor, and how long what it asks may take."""

    detection: DetectionPolicy
    healing: HealingPolicy
    scaling: ScalingPolicy
    closing: timedelta
    scale_every: timedelta
    measuring: timedelta
    probe_seconds: float
    stack_seconds: float

    @property
    def longest_trial(self) -> timedelta:
        """After this a code fix on trial has its verdict, whatever happens."""
        healing = self.healing
        return (
            healing.verification_at_most + healing.verification + timedelta(minutes=1)
        )


def policies(threshold_seconds: float, target: int) -> Policies:
    """As the settings have them, with what the command line said."""
    return Policies(
        detection=detection_policy(threshold_seconds),
        healing=healing_policy(),
        scaling=scaling_policy(target),
        closing=timedelta(seconds=CLOSING_SECONDS),
        scale_every=timedelta(seconds=SCALE_CHECK_SECONDS),
        measuring=timedelta(seconds=IOSTAT_SECONDS),
        probe_seconds=PROBE_ANSWER_SECONDS,
        stack_seconds=STACK_SECONDS,
    )
