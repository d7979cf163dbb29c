"""Every setting of the monitor; builds the policies.

Each constant can be overridden by an environment variable of the same name. The model
in `common/settings/monitor.py`, and docs/settings.md, which is generated from it,
describe each one. `check` reports invalid values.
"""

import os
import time
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from auto_monitor.decide.detection import DetectionPolicy
from auto_monitor.decide.diagnosis import Budget, seconds_of_a_job
from auto_monitor.decide.healing import HealingPolicy
from auto_monitor.decide.scaling import ScalingPolicy
from common.errors import CodedError
from common.settings.load import WrongSetting, read, sources
from common.settings.monitor import MonitorSettings
from common.settings.worker import WorkerSettings

PROJECT = Path(__file__).resolve().parent.parent


class Misconfigured(CodedError):
    """A setting is invalid.

    The message names it, gives the reason and a valid value.
    """

    code = "misconfigured"


def _read() -> tuple[MonitorSettings, list[str]]:
    """Reads the settings at import.

    Problems are reported by `check`; until then the defaults apply.
    """
    try:
        return read(MonitorSettings, sources(PROJECT, os.environ))
    except WrongSetting as error:
        return MonitorSettings(), [str(error)]


#: The settings without a command line; the constants below repeat them under their
#: documented names.
GIVEN, _PROBLEMS = _read()

#: Seconds without progress after which a worker that has settled a file counts as
#: stuck.
STUCK_THRESHOLD_SECONDS = GIVEN.stuck_threshold_seconds
#: The same while the worker starts or discovers: a first reading of 1.7 million books
#: takes its time.
DISCOVERY_THRESHOLD_SECONDS = GIVEN.discovery_threshold_seconds
#: Seconds between two checks.
CHECK_INTERVAL_SECONDS = GIVEN.check_interval_seconds
#: Seconds between two attempts on the same worker, counted from the attempt.
COOLDOWN_SECONDS = GIVEN.cooldown_seconds
#: Attempts on one worker before it is paused and an alert is sent.
MAX_FIX_ATTEMPTS = GIVEN.max_fix_attempts
#: Seconds after which an attempt must show that it helped ...
SUCCESS_VERIFICATION_SECONDS = GIVEN.success_verification_seconds
#: ... or at most this many, as long as work moves: a large file takes its time.
VERIFICATION_AT_MOST_SECONDS = GIVEN.verification_at_most_seconds
#: "text", or "json" for logs also as NDJSON in files beside them.
LOG_FORMAT = GIVEN.log_format
#: Lines of the worker's log that the LLM is shown.
LOG_LINES_TO_ANALYZE = GIVEN.log_lines_to_analyze
#: The most LLM calls per hour, and tokens per day.
LLM_CALLS_PER_HOUR = GIVEN.llm_calls_per_hour
LLM_TOKENS_PER_DAY = GIVEN.llm_tokens_per_day
#: Seconds for one question with its re-ask; after that the worker is restarted without
#: an answer.
LLM_JOB_SECONDS = GIVEN.llm_job_seconds
#: Seconds for one call.
OPENAI_TIMEOUT_SECONDS = GIVEN.openai_timeout_seconds
#: A code fix with less confidence is asked about once more.
CODE_FIX_MIN_CONFIDENCE = GIVEN.code_fix_min_confidence
#: 1: code fixes that pass guard and gate are tried on the stuck worker; 0: they are
#: only proposed.
ENABLE_CODE_FIXES = GIVEN.enable_code_fixes
#: "auto", or "require": code fixes are only proposed where the network cannot be
#: restricted.
CODE_FIX_CONFINEMENT = GIVEN.code_fix_confinement
#: Seconds a candidate is given to migrate the demo library in the sandbox.
GATE_SECONDS = GIVEN.gate_seconds
#: Workers that should run.
TARGET_WORKER_COUNT = GIVEN.target_worker_count
#: Never fewer ...
MIN_WORKER_COUNT = GIVEN.min_worker_count
#: ... and never more, however idle the disk is.
MAX_WORKER_COUNT = GIVEN.max_worker_count
#: The disk counts as saturated when it is busy at least this many percent of the time.
DISK_IO_SATURATED_THRESHOLD = GIVEN.disk_io_saturated_threshold
#: Below this many percent the disk has room for one more worker.
DISK_IO_NORMAL_THRESHOLD = GIVEN.disk_io_normal_threshold
#: Seconds between stopping one worker and stopping another.
DISK_IO_SCALE_DOWN_COOLDOWN = GIVEN.disk_io_scale_down_cooldown
#: Seconds after a change of the number before a worker is added.
DISK_IO_SCALE_UP_COOLDOWN = GIVEN.disk_io_scale_up_cooldown
#: Seconds between two checks of the number of workers.
SCALE_CHECK_SECONDS = GIVEN.scale_check_seconds
#: Seconds over which iostat measures.
IOSTAT_SECONDS = GIVEN.iostat_seconds
#: Seconds a worker is given to end after SIGTERM before it is killed; it saves within
#: 7.
KILL_GRACE_SECONDS = GIVEN.kill_grace_seconds
#: The most seconds to wait for the stack of a hung worker.
STACK_SECONDS = GIVEN.stack_seconds
#: Seconds that the server and the library's disk are given to answer when workers hang.
PROBE_ANSWER_SECONDS = GIVEN.probe_answer_seconds
#: Seconds between two checks for workers that have ended: they are cheap, and a killed
#: worker need not wait for the next round.
CHILD_SECONDS = GIVEN.child_seconds
#: Seconds that the report of a closed pass may take; 0 writes none.
REPORT_SECONDS = GIVEN.report_seconds
#: Seconds that workers are given to end by themselves when the pass has closed.
CLOSING_SECONDS = GIVEN.closing_seconds
#: Seconds that the worker which opens a pass waits for a library that Calibre locks.
LIBRARY_LOCK_SECONDS = GIVEN.library_lock_seconds


def check() -> None:
    """Validates all settings.

    Raises WrongSetting with a line for each invalid one, or Misconfigured when some
    contradict each other.
    """
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
    if given.watch and given.max_duration:
        problems.append(
            "--watch has no end, so MIGRATE_MAX_DURATION does not go with it"
        )
    if problems:
        raise Misconfigured("\n".join(problems))


def require_llm_key(given: MonitorSettings) -> None:
    """Raises Misconfigured when neither a key nor a server for the LLM is set."""
    if not (given.openai_api_key or given.openai_base_url):
        raise Misconfigured(
            "--llm-enabled needs OPENAI_API_KEY (or OPENAI_BASE_URL of a server of "
            "your own) in auto_monitor/.env "
            "or in the environment"
        )


def ends_at(seconds: float = GIVEN.max_duration) -> float | None:
    """Returns when, by `time.monotonic`, the time limit that begins now ends.

    Returns None without one.
    """
    return time.monotonic() + seconds if seconds else None


def detection_policy(
    threshold_seconds: float = STUCK_THRESHOLD_SECONDS,
) -> DetectionPolicy:
    """When a worker counts as stuck."""
    discovery = max(DISCOVERY_THRESHOLD_SECONDS, threshold_seconds)
    return DetectionPolicy(
        timedelta(seconds=threshold_seconds),
        timedelta(seconds=discovery),
        settling=_longest_silence(),
    )


def _longest_silence() -> timedelta:
    """Returns how long workers may wait for a moment that their settings name.

    Wrong settings are the workers' to report.
    """
    given, _wrong = read(WorkerSettings, sources(PROJECT, os.environ))
    seconds = max(given.reconcile_after_seconds, given.last_look_seconds)
    return timedelta(seconds=seconds + given.probe_seconds)


def healing_policy() -> HealingPolicy:
    """What may be done about an unhealthy worker."""
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
    """What may be spent on an LLM."""
    seconds = seconds_of_a_job(LLM_JOB_SECONDS, GATE_SECONDS)
    return Budget(LLM_CALLS_PER_HOUR, LLM_TOKENS_PER_DAY, seconds)


def scaling_policy(target: int = TARGET_WORKER_COUNT) -> ScalingPolicy:
    """How many workers may run."""
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
    """All thresholds and time-outs of a monitor."""

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
        """The time after which a code fix on trial has a verdict in any case."""
        healing = self.healing
        return (
            healing.verification_at_most + healing.verification + timedelta(minutes=1)
        )


def policies(threshold_seconds: float, target: int) -> Policies:
    """Returns the policies from the settings and the command line."""
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
