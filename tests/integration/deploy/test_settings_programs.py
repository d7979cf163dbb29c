"""Settings as a user meets them: a wrong one in each program, and what the monitor
hands to workers."""

import subprocess
import sys
from pathlib import Path

import pytest

from auto_monitor.processes import FOR_WORKERS, WorkerCommand
from common.settings.load import sources
from common.settings.setting import settings_of
from common.settings.worker import WorkerSettings
from tests.support.environment import PROJECT, clean_environment
from tests.support.machine.checkoutkit import make_checkout

pytestmark = pytest.mark.integration

LIBRARY = str(PROJECT / "demo" / "library")
WORKER = ["bulk_migrate_calibre.py", LIBRARY, "--dry-run"]
MONITOR = ["auto_monitor/monitor.py", "--library", LIBRARY, "--once", "--dry-run"]
START = ["-m", "deploy.launch", "--library", LIBRARY]
DASHBOARD = ["-m", "dashboard", "--link"]
BOOKSHELF = ["-m", "bookshelf", "--data-dir", "/nonexistent"]
STOP = ["-m", "deploy.stop"]
RETRY = ["-m", "migration.commands.retry", "--all"]
CONTAINER = ["-m", "deploy.migrator.container"]
PREPARE = ["-m", "deploy.prepare_server", "--dry-run"]
CHECK_ENV = ["-m", "deploy.check_env"]
EVERY_PROGRAM = [
    WORKER,
    MONITOR,
    START,
    DASHBOARD,
    BOOKSHELF,
    STOP,
    RETRY,
    CONTAINER,
    PREPARE,
    CHECK_ENV,
]

#: program, variable, text, what is allowed
WRONG = [
    *[
        (WORKER, name, text, "is not a ")
        for name in (
            "MAX_CONTENT_LENGTH",
            "RETRY_FIRST_SECONDS",
            "RECONCILE_AFTER_SECONDS",
            "PROBE_SECONDS",
            "START_SECONDS",
            "ASK_FIRST_BYTES",
            "TASK_SECONDS",
            "LIBRARY_BUSY_SECONDS",
        )
        for text in ("x", "nan")
    ],
    (MONITOR, "COOLDOWN_SECONDS", "-1", "is not a number from 0 to 86400 (seconds)"),
    (MONITOR, "LOG_FORMAT", "xml", "is not text or json"),
    (DASHBOARD, "DASHBOARD_PORT", "99999", "is not a whole number from 0 to 65535"),
    (START, "TARGET_WORKER_COUNT", "9", "is not a whole number from 1 to 8"),
    (
        START,
        "STUCK_THRESHOLD_SECONDS",
        "soon",
        "is not a number from 0.1 to 86400 (seconds)",
    ),
    (START, "PROBE_SECONDS", "x", "is not a number from 0.01 to 3600 (seconds)"),
    (START, "BOOKSHELF_TASK_SLOTS", "0", "is not a whole number from 1 to 1000"),
    (MONITOR, "PROBE_SECONDS", "x", "is not a number from 0.01 to 3600 (seconds)"),
    (BOOKSHELF, "BOOKSHELF_PORT", "99999", "is not a whole number from 0 to 65535"),
    (BOOKSHELF, "BOOKSHELF_DELAY_MS", "-1", "is not a whole number from 0 to 3600000"),
    (BOOKSHELF, "MAX_CONTENT_LENGTH", "500 MB", "is not a whole number from 1 to "),
    (PREPARE, "PREPARE_LOCK_SECONDS", "0", "is not a number from 0.1 to 86400 (sec"),
    (
        CHECK_ENV,
        "COMPOSE_PROFILES",
        "migrate,servers",
        "is not one or more of embedded, migrate, server, watch, between commas",
    ),
    *[
        (program, "READ_ENV_FILES", "maybe", "is not 1 or 0")
        for program in EVERY_PROGRAM
    ],
]


#: A text that no setting allows: not even a path, as there is no such user.
NONSENSE = "~nobody-has-this-name/x"
#: program, file, variable
IN_FILES = [
    (WORKER, ".env", "PROBE_SECONDS"),
    (MONITOR, "auto_monitor/.env", "PROBE_SECONDS"),
    (MONITOR, ".env", "STUCK_THRESHOLD_SECONDS"),
    (START, ".env", "PROBE_SECONDS"),
    (DASHBOARD, "auto_monitor/.env", "DASHBOARD_PORT"),
    (BOOKSHELF, ".env", "MAX_COVER_FILE_SIZE"),
    (PREPARE, ".env", "PREPARE_LOCK_SECONDS"),
    (CHECK_ENV, ".env", "COMPOSE_PROFILES"),
    *[
        (program, "auto_monitor/.env", "STATE_DIR")
        for program in (STOP, RETRY, CONTAINER)
    ],
]


def run(
    arguments: list[str], folder: Path, **environment: str
) -> subprocess.CompletedProcess[str]:
    """One of our programs from its start to its end."""
    return subprocess.run(
        [sys.executable, *arguments],
        env=clean_environment(STATE_DIR=str(folder), **environment),
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize(("arguments", "name", "text", "allowed"), WRONG)
def test_a_wrong_value_is_one_line_and_exit_2(
    arguments: list[str], name: str, text: str, allowed: str, tmp_path: Path
) -> None:
    """Never a traceback, and never the status that means that some files failed."""
    done = run(arguments, tmp_path, **{name: text})
    assert done.returncode == 2
    [line] = done.stderr.splitlines()
    assert line.startswith(f"{name}='{text}' {allowed}")
    assert line.endswith("; it comes from the environment [wrong-setting]")


def test_a_wrong_option_is_one_line_that_names_it(tmp_path: Path) -> None:
    """Of those that have some."""
    for arguments, option in (
        (BOOKSHELF, "--port"),
        (PREPARE, "--lock-timeout"),
        (START, "--workers"),
        (WORKER, "--parallel-uploads"),
        (MONITOR, "--check-interval"),
        (MONITOR, "--threshold"),
    ):
        done = run([*arguments, option, "many"], tmp_path)
        [line] = done.stderr.splitlines()
        assert (done.returncode, f"; it comes from option {option}" in line) == (
            2,
            True,
        ), line


def test_the_monitor_hands_every_setting_of_a_worker_on(tmp_path: Path) -> None:
    """From .env and from the environment; what is told on the command line is not told
    twice."""
    names = [one.variable for one in settings_of(WorkerSettings)]
    (tmp_path / ".env").write_text(
        "".join(f"{name}=from-the-file\n" for name in names), "utf-8"
    )
    found = sources(tmp_path, {"TASK_SECONDS": "5"}).texts()
    command = WorkerCommand(
        PROJECT / "bulk_migrate_calibre.py",
        tmp_path,
        "http://x",
        tmp_path,
        PROJECT,
        found,
    )
    told = command.surroundings()
    assert set(names) - FOR_WORKERS == {"CALIBRE_LIBRARY", "STATE_DIR", "WORKER_ID"}
    # It is told everything, so that it looks for no file.
    assert (told["TASK_SECONDS"], told["READ_ENV_FILES"]) == ("5", "0")
    assert {
        name for name in names if told.get(name) == "from-the-file"
    } == FOR_WORKERS - {"TASK_SECONDS", "READ_ENV_FILES"}


def test_the_check_runs_where_nothing_is_installed(tmp_path: Path) -> None:
    """Without any package, from the folder of the project."""
    checkout = make_checkout(tmp_path / "checkout")
    (checkout / ".env").write_text("CALIBRE_LIBRARY=/x\nMBS2_PASSWORD=a$b\n", "utf-8")
    done = subprocess.run(
        [sys.executable, "-S", "-s", *CHECK_ENV, "embedded"],
        env={"PATH": "/nonexistent"},
        cwd=checkout,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    [line] = done.stderr.splitlines()
    assert done.returncode == 1
    assert line.startswith("MBS2_PASSWORD (.env, line 2): Compose puts a variable in")


def test_a_wrong_value_in_a_file_is_one_line_that_names_the_file(
    tmp_path: Path,
) -> None:
    """In every program; also where one hands it on to another."""
    checkout = make_checkout(tmp_path / "checkout")
    for arguments, file, name in IN_FILES:
        for other in (".env", "auto_monitor/.env"):
            (checkout / other).write_text(
                f"{name}={NONSENSE}\n" if other == file else ""
            )
        done = subprocess.run(
            [sys.executable, *arguments],
            env=clean_environment(PYTHONPATH=str(checkout), READ_ENV_FILES="1"),
            cwd=checkout,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        [line] = done.stderr.splitlines()
        said = line.partition(" is not ")[0]
        assert (done.returncode, said) == (2, f"{name}={NONSENSE!r}")
        assert line.endswith(f"; it comes from {checkout / file} [wrong-setting]")
