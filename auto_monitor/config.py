"""Every setting of the monitor with its unit and its reason; builds the policies.

Each constant can be overridden by an environment variable of its own name. Order: environment, `auto_monitor/.env`,
`.env`. A value that makes no sense is reported by `check`, which `monitor.main` calls first.
"""

import os
import time
from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path

from dotenv import dotenv_values

from auto_monitor.decide.detection import DetectionPolicy
from auto_monitor.decide.diagnosis import Budget
from auto_monitor.decide.healing import HealingPolicy
from auto_monitor.decide.scaling import ScalingPolicy
from migration.worker.rate_limit import parse_duration

PROJECT = Path(__file__).resolve().parent.parent


class Misconfigured(Exception):
    """A setting makes no sense; the message names it, says why, and what would do."""


def environment() -> dict[str, str]:
    """The environment, then `auto_monitor/.env`, then `.env`: the first that names a variable wins."""
    merged: dict[str, str] = {}
    for name in (".env", "auto_monitor/.env"):
        merged |= {key: value for key, value in dotenv_values(PROJECT / name).items() if value is not None}
    return merged | dict(os.environ)


_ENVIRONMENT = environment()
_PROBLEMS: list[str] = []


def _number(name: str, default: float, lowest: float, highest: float) -> float:
    text = _ENVIRONMENT.get(name, "").strip()
    if not text:
        return default
    try:
        value = float(text)
    except ValueError:
        value = float("nan")
    if not lowest <= value <= highest:
        _PROBLEMS.append(
            f"{name}={text!r} is not a number from {lowest:g} to {highest:g}; without it {default:g} is used"
        )
        return default
    return value


def _count(name: str, default: int, lowest: int, highest: int) -> int:
    value = _number(name, default, lowest, highest)
    if value != int(value):
        _PROBLEMS.append(f"{name}={value!r} is not a whole number; without it {default} is used")
        return default
    return int(value)


def _choice(name: str, *choices: str) -> str:
    """One of these; the first is the default."""
    text = _ENVIRONMENT.get(name, "").strip() or choices[0]
    if text not in choices:
        _PROBLEMS.append(f"{name}={text!r} is none of {', '.join(choices)}; without it {choices[0]} is used")
        return choices[0]
    return text


_DAY = 86_400.0

#: Seconds without progress after which a worker that has settled a file is stuck.
STUCK_THRESHOLD_SECONDS = _number("STUCK_THRESHOLD_SECONDS", 300, 0.1, _DAY)
#: The same while it starts or discovers: a first look at 1.7 million books takes its time.
DISCOVERY_THRESHOLD_SECONDS = _number("DISCOVERY_THRESHOLD_SECONDS", 1200, 0.1, _DAY)
#: Seconds between two looks.
CHECK_INTERVAL_SECONDS = _number("CHECK_INTERVAL_SECONDS", 60, 0.1, 3600)
#: Seconds between two attempts on the same worker, counted from the attempt.
COOLDOWN_SECONDS = _number("COOLDOWN_SECONDS", 600, 0, _DAY)
#: Attempts on one worker before it is paused and a person is told.
MAX_FIX_ATTEMPTS = _count("MAX_FIX_ATTEMPTS", 3, 1, 100)
#: Seconds after which an attempt must show that it helped ...
SUCCESS_VERIFICATION_SECONDS = _number("SUCCESS_VERIFICATION_SECONDS", 120, 0, _DAY)
#: ... and at most this many, as long as work moves: a large file takes its time.
VERIFICATION_AT_MOST_SECONDS = _number("VERIFICATION_AT_MOST_SECONDS", 1200, 0, _DAY)
#: text, or json: the logs also as NDJSON, in files beside them.
LOG_FORMAT = _choice("LOG_FORMAT", "text", "json")
#: Lines of the worker's log that the LLM is shown.
LOG_LINES_TO_ANALYZE = _count("LOG_LINES_TO_ANALYZE", 500, 1, 10_000)
#: Calls of the LLM in one hour, and tokens in one day, at most.
LLM_CALLS_PER_HOUR = _count("LLM_CALLS_PER_HOUR", 20, 0, 10_000)
LLM_TOKENS_PER_DAY = _count("LLM_TOKENS_PER_DAY", 300_000, 0, 1_000_000_000)
#: Seconds for one question with its re-ask; the worker is restarted without an answer after that.
LLM_JOB_SECONDS = _number("LLM_JOB_SECONDS", 600, 1, 3600)
#: Seconds for one call.
OPENAI_TIMEOUT_SECONDS = _number("OPENAI_TIMEOUT_SECONDS", 60, 0.1, 600)
#: Below this a code fix is asked about once more.
CODE_FIX_MIN_CONFIDENCE = _number("CODE_FIX_MIN_CONFIDENCE", 0.7, 0, 1)
#: 1: code fixes that pass guard and gate are tried on the stuck worker; 0: they are only proposed.
ENABLE_CODE_FIXES = _count("ENABLE_CODE_FIXES", 1, 0, 1)
#: Seconds a candidate gets to migrate the demo library in the sandbox.
GATE_SECONDS = _number("GATE_SECONDS", 300, 1, 3600)
#: Workers that should run.
TARGET_WORKER_COUNT = _count("TARGET_WORKER_COUNT", 4, 1, 8)
#: Never fewer ...
MIN_WORKER_COUNT = _count("MIN_WORKER_COUNT", 1, 1, 8)
#: ... and never more, whatever the disk says.
MAX_WORKER_COUNT = _count("MAX_WORKER_COUNT", 8, 1, 8)
#: Percent of time the disk is busy from which it is saturated.
DISK_IO_SATURATED_THRESHOLD = _number("DISK_IO_SATURATED_THRESHOLD", 90, 0, 100)
#: Percent below which it has room for one more worker.
DISK_IO_NORMAL_THRESHOLD = _number("DISK_IO_NORMAL_THRESHOLD", 50, 0, 100)
#: Seconds after one worker was stopped before another one is.
DISK_IO_SCALE_DOWN_COOLDOWN = _number("DISK_IO_SCALE_DOWN_COOLDOWN", 300, 0, _DAY)
#: Seconds after the number changed before a worker is added.
DISK_IO_SCALE_UP_COOLDOWN = _number("DISK_IO_SCALE_UP_COOLDOWN", 600, 0, _DAY)
#: Seconds between two looks at the number of workers.
SCALE_CHECK_SECONDS = _number("SCALE_CHECK_SECONDS", 60, 0.1, 3600)
#: Seconds over which iostat measures.
IOSTAT_SECONDS = _count("IOSTAT_SECONDS", 2, 1, 60)
#: Seconds a worker gets to end after SIGTERM before it is killed; it saves within 7.
KILL_GRACE_SECONDS = _number("KILL_GRACE_SECONDS", 10, 0.1, 600)
#: Seconds to wait at most for the stack of a hung worker.
STACK_SECONDS = _number("STACK_SECONDS", 3, 0, 60)
#: Seconds the server and the library's disk get to answer when workers hang.
PROBE_ANSWER_SECONDS = _number("PROBE_ANSWER_SECONDS", 10, 0.1, 300)
#: Seconds between two looks for workers that have ended: cheap, and a killed one need not wait for the next round.
CHILD_SECONDS = _number("CHILD_SECONDS", 1, 0.1, 60)
#: Seconds the report of a pass that was closed may take; 0 writes none.
REPORT_SECONDS = _number("REPORT_SECONDS", 120, 0, 3600)
#: Seconds workers get to end by themselves when the pass has closed.
CLOSING_SECONDS = _number("CLOSING_SECONDS", 30, 0, 600)


def check() -> None:
    """Raises Misconfigured with every setting that makes no sense."""
    problems = list(_PROBLEMS)
    if MIN_WORKER_COUNT > MAX_WORKER_COUNT:
        problems.append(f"MIN_WORKER_COUNT {MIN_WORKER_COUNT} is more than MAX_WORKER_COUNT {MAX_WORKER_COUNT}")
    if DISK_IO_NORMAL_THRESHOLD > DISK_IO_SATURATED_THRESHOLD:
        problems.append("DISK_IO_NORMAL_THRESHOLD is more than DISK_IO_SATURATED_THRESHOLD")
    if problems:
        raise Misconfigured("; ".join(problems))


def require_llm_key(given: Mapping[str, str]) -> None:
    """Raises Misconfigured when there is nobody to ask."""
    if not (given.get("OPENAI_API_KEY") or given.get("OPENAI_BASE_URL")):
        raise Misconfigured(
            "--llm-enabled needs OPENAI_API_KEY (or OPENAI_BASE_URL of a server of your own) in auto_monitor/.env "
            "or in the environment"
        )


def ends_at(given: Mapping[str, str]) -> float | None:
    """When, by `time.monotonic`, the time of MIGRATE_MAX_DURATION is up that begins now; None without a limit.

    Raises Misconfigured.
    """
    try:
        seconds = parse_duration(given.get("MIGRATE_MAX_DURATION") or "0")
    except ValueError as error:
        raise Misconfigured(f"MIGRATE_MAX_DURATION: {error}") from error
    return time.monotonic() + seconds if seconds else None


def detection_policy(threshold_seconds: float = STUCK_THRESHOLD_SECONDS) -> DetectionPolicy:
    """When is a worker stuck?"""
    discovery = max(DISCOVERY_THRESHOLD_SECONDS, threshold_seconds)
    return DetectionPolicy(timedelta(seconds=threshold_seconds), timedelta(seconds=discovery))


def healing_policy() -> HealingPolicy:
    """What may be done about it?"""
    return HealingPolicy(
        MAX_FIX_ATTEMPTS,
        timedelta(seconds=COOLDOWN_SECONDS),
        timedelta(seconds=SUCCESS_VERIFICATION_SECONDS),
        timedelta(seconds=max(SUCCESS_VERIFICATION_SECONDS, VERIFICATION_AT_MOST_SECONDS)),
        window=timedelta(seconds=max(STUCK_THRESHOLD_SECONDS, SUCCESS_VERIFICATION_SECONDS)),
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
