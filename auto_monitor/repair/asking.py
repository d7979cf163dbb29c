"""The client that asks an LLM, made from the settings."""

from collections.abc import Mapping
from pathlib import Path

from auto_monitor import config
from auto_monitor.llm_debugger import LlmDebugger
from auto_monitor.observe import llm
from common.clock import SteadyClock


def debugger(
    state_dir: Path,
    script: Path,
    environment: Mapping[str, str],
    clock: SteadyClock,
    *,
    asks: bool,
) -> LlmDebugger:
    """Returns the client that asks an LLM; with `asks`, whether it answers is looked
    at now.
    """
    probe = llm.probe(config.PROJECT, environment)
    if asks:
        probe.begin()
    return LlmDebugger(
        state_dir,
        script,
        config.PROJECT,
        environment,
        config.llm_budget(),
        clock,
        config.LOG_LINES_TO_ANALYZE,
        config.DISK_IO_SATURATED_THRESHOLD,
        at_start=lambda: probe.trouble,
    )
