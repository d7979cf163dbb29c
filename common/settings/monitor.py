"""Settings of the monitor."""

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from common.settings import kinds
from common.settings.setting import setting, settings_of
from common.settings.shared import (
    DAY,
    PROJECT,
    Library,
    LibraryLock,
    LogFormat,
    Server,
    StateDir,
    TimeLimit,
    Told,
    Watching,
)


@dataclass(frozen=True, kw_only=True)
class Healing:
    """When a worker counts as stuck, and what is done about it."""

    check_interval_seconds: float = setting(
        kinds.number(0.1, 3600),
        60.0,
        unit="seconds",
        option="--check-interval",
        metavar="S",
        what="seconds between two checks",
    )
    stuck_threshold_seconds: float = setting(
        kinds.number(0.1, DAY),
        300.0,
        unit="seconds",
        what="without progress, after which a worker that has settled a file counts as "
        "stuck; also --threshold MIN, in minutes",
    )
    discovery_threshold_seconds: float = setting(
        kinds.number(0.1, DAY),
        1200.0,
        unit="seconds",
        what="the same while it starts or discovers, since reading 1.7 million books "
        "takes long",
    )
    cooldown_seconds: float = setting(
        kinds.number(0, DAY),
        600.0,
        unit="seconds",
        what="between two attempts on the same worker, counted from the attempt",
    )
    max_fix_attempts: int = setting(
        kinds.whole(1, 100),
        3,
        what="attempts on one worker before it is paused and an alert is sent",
    )
    success_verification_seconds: float = setting(
        kinds.number(0, DAY),
        120.0,
        unit="seconds",
        what="after which an attempt must show that it helped",
    )
    verification_at_most_seconds: float = setting(
        kinds.number(0, DAY),
        1200.0,
        unit="seconds",
        what="the same while work progresses, since a large file takes long",
    )
    kill_grace_seconds: float = setting(
        kinds.number(0.1, 600),
        10.0,
        unit="seconds",
        what="from SIGTERM until a worker is killed; it saves its state within 7",
    )
    stack_seconds: float = setting(
        kinds.number(0, 60),
        3.0,
        unit="seconds",
        what="to wait at most for the stacks of a hanging worker",
    )
    probe_answer_seconds: float = setting(
        kinds.number(0.1, 300),
        10.0,
        unit="seconds",
        what="within which the server and the library's disk must answer when workers "
        "hang",
    )
    child_seconds: float = setting(
        kinds.number(0.1, 60),
        1.0,
        unit="seconds",
        what="between two checks for workers that have ended",
    )
    report_seconds: float = setting(
        kinds.number(0, 3600),
        120.0,
        unit="seconds",
        what="at most for writing the report of a closed pass; 0 writes none",
    )
    closing_seconds: float = setting(
        kinds.number(0, 600),
        30.0,
        unit="seconds",
        what="within which workers should exit by themselves once the pass is closed",
    )


@dataclass(frozen=True, kw_only=True)
class Scaling:
    """How many workers run."""

    target_worker_count: int = setting(
        kinds.whole(1, 8),
        4,
        option="--workers",
        metavar="N",
        what="workers that should run, 1-8",
    )
    min_worker_count: int = setting(
        kinds.whole(1, 8), 1, what="lowest number of workers"
    )
    max_worker_count: int = setting(
        kinds.whole(1, 8), 8, what="highest number of workers, however idle the disk is"
    )
    disk_io_saturated_threshold: float = setting(
        kinds.number(0, 100),
        90.0,
        unit="percent",
        what="of the time from which a busy disk counts as saturated",
    )
    disk_io_normal_threshold: float = setting(
        kinds.number(0, 100),
        50.0,
        unit="percent",
        what="below which the disk has room for another worker",
    )
    disk_io_scale_down_cooldown: float = setting(
        kinds.number(0, DAY),
        300.0,
        unit="seconds",
        what="after one worker was stopped, before another one may be",
    )
    disk_io_scale_up_cooldown: float = setting(
        kinds.number(0, DAY),
        600.0,
        unit="seconds",
        what="after the number changed, before a worker may be added",
    )
    scale_check_seconds: float = setting(
        kinds.number(0.1, 3600),
        60.0,
        unit="seconds",
        what="between two checks of the number of workers",
    )
    iostat_seconds: int = setting(
        kinds.whole(1, 60),
        2,
        unit="seconds",
        what="that one measurement by iostat lasts",
    )


@dataclass(frozen=True, kw_only=True)
class Llm:
    """Asking an LLM (--llm-enabled)."""

    openai_api_key: str = setting(
        kinds.verbatim(), "", secret=True, what="key of the LLM's server"
    )
    openai_base_url: str = setting(
        kinds.url("http", "https", example="http://127.0.0.1:8080/v1"),
        "",
        default_text="OpenAI's",
        what="URL of a server of your own (llama.cpp, Ollama, vLLM)",
    )
    openai_model: str = setting(
        kinds.text(), "gpt-4o-mini", what="the model that is asked"
    )
    openai_timeout_seconds: float = setting(
        kinds.number(0.1, 600),
        60.0,
        unit="seconds",
        what="at most for one call of the LLM",
    )
    llm_job_seconds: float = setting(
        kinds.number(1, 3600),
        600.0,
        unit="seconds",
        what="at most for the calls of one question and its repetitions; after that, and "
        "the time that code fixes are tried, the worker is restarted without an answer",
    )
    llm_calls_per_hour: int = setting(
        kinds.whole(0, 10_000), 20, what="calls of the LLM in one hour, at most"
    )
    llm_tokens_per_day: int = setting(
        kinds.whole(0, 1_000_000_000), 300_000, what="tokens in one day, at most"
    )
    log_lines_to_analyze: int = setting(
        kinds.whole(1, 10_000),
        500,
        unit="lines",
        what="of the worker's log that are sent to the LLM",
    )
    code_fix_min_confidence: float = setting(
        kinds.number(0, 1),
        0.7,
        what="below this the LLM is asked again about a code fix",
    )
    enable_code_fixes: bool = setting(
        kinds.switch(),
        True,
        what="1: code fixes that pass guard and gate are tried on the stuck worker; "
        "0: they are only proposed",
    )
    code_fix_confinement: str = setting(
        kinds.choice("auto", "require"),
        "auto",
        what="auto: a script that an LLM has changed is confined to the worker's files, "
        "starts no program, and connects to the server only; where the system cannot "
        "restrict the network it runs all the same; require: code fixes are then only "
        "proposed, as they are in any case without the first two",
    )
    gate_seconds: float = setting(
        kinds.number(1, 3600),
        300.0,
        unit="seconds",
        what="within which a candidate must migrate the demo library in the sandbox",
    )


#: What the process that asks the LLM is told of the monitor's settings.
LLM_VARIABLES = tuple(one.variable for one in settings_of(Llm))


@dataclass(frozen=True, kw_only=True)
class Script:
    """What workers are."""

    worker_script: Path = setting(
        kinds.path(),
        PROJECT / "bulk_migrate_calibre.py",
        container=False,
        default_text="bulk_migrate_calibre.py here",
        what="the script that workers run, and that a code fix replaces",
    )


@dataclass(frozen=True, kw_only=True)
class MonitorSettings(
    Script,
    TimeLimit,
    LibraryLock,
    LogFormat,
    Llm,
    Healing,
    Scaling,
    StateDir,
    Server,
    Library,
    Watching,
    Told,
):
    """All settings of the monitor; the worker's are only passed on."""

    WITHOUT_OPTION: ClassVar[frozenset[str]] = frozenset({"log_format", "max_duration"})

    alert_webhook_url: str = setting(
        kinds.url("http", "https", example="https://hooks.example/migration"),
        "",
        secret=True,
        what="receives a JSON object for every alert",
    )
