"""Where the tests are, and an environment without the settings of whoever runs them."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
FIXTURES = PROJECT / "tests" / "fixtures"
USERNAME, PASSWORD = "admin", "correct horse battery"

#: Settings that are the person's who runs the tests.
OUR_SETTINGS = (
    "MBS2_",
    "BOOKSHELF_",
    "MIGRATE_",
    "CALIBRE_LIBRARY",
    "LIBRARY_BUSY",
    "LIBRARY_LOCK",
    "STATE_DIR",
    "XDG_STATE_HOME",
    "CHECKOUT_LINKS",
    "WORKER_ID",
    "WORKER_NICE",
    "WORKER_IONICE",
    "MAX_FILES_PER_MIN",
    "ASK_FIRST",
    "BATCH_SIZE",
    "PARALLEL_",
    "DEFAULT_LANGUAGE",
    "MAX_CONTENT_LENGTH",
    "RECONCILE_AFTER",
    "RETRY_FIRST",
    "LAST_LOOK_",
    "PROBE_",
    "SILENT_",
    "PREPARE_",
    "START_SECONDS",
    "VERIFY_PATIENCE",
    "TASK_SECONDS",
    "ANSWER_SECONDS",
    "OPENAI_",
    "ALERT_",
    "DASK_",
    "WORKER_SCRIPT",
    "CHECK_INTERVAL",
    "STUCK_",
    "DISCOVERY_",
    "COOLDOWN",
    "SUCCESS_",
    "TARGET_WORKER",
    "IOSTAT_",
    "DASHBOARD_",
    "LOG_FORMAT",
    "REPORT_SECONDS",
)


def clean_environment(**more: str) -> dict[str, str]:
    """The environment without settings of the person who runs the tests, and with
    bytecode: without it every process would compile two hundred modules."""
    kept = {
        key: value
        for key, value in os.environ.items()
        if not key.startswith((*OUR_SETTINGS, "PYTHONDONTWRITEBYTECODE"))
    }
    # Nothing on loopback arrives late unless a test says so. The links in the checkout
    # are a person's.
    ours = {"LAST_LOOK_SECONDS": "0.1", "CHECKOUT_LINKS": "0"}
    return {
        **kept,
        "PYTHONPATH": str(PROJECT),
        "PYTHONWARNINGS": "error",
        **ours,
        **more,
    }


def needs(program: str) -> None:
    """Skips the test when a program is missing; under CI that is a failure."""
    if shutil.which(program) is None:
        if os.environ.get("CI"):
            pytest.fail(f"{program} is missing under CI")
        pytest.skip(
            f"{program} is not installed (./run_tests.sh --system-deps installs it)"
        )


def end(process: "subprocess.Popen[str] | None") -> None:
    """Ends a process and closes its pipes."""
    if process is None:
        return
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(15)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait(5)
    for pipe in (process.stdout, process.stderr):
        if pipe is not None:
            pipe.close()
