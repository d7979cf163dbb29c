"""The systemd units, by systemd's own judgement, and the services that speak to it, as
real processes."""

import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from auto_monitor import config
from auto_monitor.decide.detection import FOR_GOOD
from auto_monitor.observe.disk import LOOK_SECONDS
from common.exit_status import ExitCode
from common.sd_notify import SETTINGS_FILE
from tests.support.environment import PROJECT, clean_environment, end, needs
from tests.support.machine.servicekit import Manager
from tests.support.migration.workerkit import wait_for
from tests.support.monitor.watchkit import Watch
from tests.support.servers.shelf import start_shelf

pytestmark = pytest.mark.integration
UNITS = PROJECT / "deploy" / "systemd"
MONITOR, BOOKSHELF = "calibre-migration-monitor.service", "calibre-bookshelf.service"
WATCH = "calibre-migration-watch.service"
#: Where the units expect the project.
INSTALLED = "/opt/calibre-migration"
#: The exposure that `systemd-analyze security` may find, in tenths of its points (100
#: is the worst).
EXPOSURE = {MONITOR: 32, WATCH: 32, BOOKSHELF: 15}


def setting(unit: str, name: str) -> str:
    """The value of a unit's only setting of this name."""
    (value,) = re.findall(
        rf"^{name}=(.*)$", (UNITS / unit).read_text("utf-8"), re.MULTILINE
    )
    return str(value)


# -- the units -------------------------------------------------------------------------


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """The units as they are after the steps of docs/deployment.md, with the project in
    another place."""
    needs("systemd-analyze")
    place = tmp_path / "project"
    place.mkdir()
    (place / ".venv").mkdir()
    (place / ".venv" / "bin").symlink_to(Path(sys.executable).parent)
    for unit in EXPOSURE:
        text = (UNITS / unit).read_text("utf-8")
        assert INSTALLED in text
        (tmp_path / unit).write_text(text.replace(INSTALLED, str(place)), "utf-8")
    return tmp_path


def verified(path: Path) -> tuple[int, list[str]]:
    """The status of `systemd-analyze verify`, and what it says about this unit."""
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", "--recursive-errors=no", str(path)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    return done.returncode, [
        line for line in (done.stdout + done.stderr).splitlines() if path.name in line
    ]


@pytest.mark.parametrize("unit", list(EXPOSURE))
def test_systemd_understands_the_unit(installed: Path, unit: str) -> None:
    """Every setting, and the programs are there."""
    assert verified(installed / unit) == (0, [])


def test_systemd_would_say_what_it_does_not_understand(installed: Path) -> None:
    """The check above can fail."""
    path = installed / MONITOR
    path.write_text(
        path.read_text()
        .replace("WatchdogSec=", "WatchdogSeconds=")
        .replace("/bin/python", "/bin/none")
    )
    status, said = verified(path)
    assert status != 0
    assert any("WatchdogSeconds" in line for line in said)
    assert any("/bin/none" in line for line in said)


@pytest.mark.parametrize("unit", list(EXPOSURE))
def test_little_is_exposed(installed: Path, unit: str) -> None:
    """By systemd's own count; a newer systemd may count otherwise, so there is some
    room."""
    subprocess.run(
        [
            "systemd-analyze",
            "security",
            "--offline=true",
            f"--threshold={EXPOSURE[unit]}",
            str(installed / unit),
        ],
        capture_output=True,
        timeout=120,
        check=True,
    )


@pytest.mark.parametrize("unit", [MONITOR, WATCH])
def test_the_monitor_is_not_restarted_where_that_cannot_help(unit: str) -> None:
    """By the statuses that the monitor itself takes as final, and the one of a time
    limit, which a restart would begin anew."""
    assert {
        int(word) for word in setting(unit, "RestartPreventExitStatus").split()
    } == FOR_GOOD | {ExitCode.PENDING}
    assert setting(unit, "Restart") == "on-failure"


@pytest.mark.parametrize("unit", list(EXPOSURE))
def test_a_service_without_settings_says_so_once(unit: str, tmp_path: Path) -> None:
    """One sentence that names the file, and a status after which systemd does not try
    again; what the unit starts is started."""
    text = (UNITS / unit).read_text("utf-8")
    file = setting(unit, "EnvironmentFile").removeprefix("-")
    assert f"Environment={SETTINGS_FILE}={file}" in text.splitlines()
    environment = clean_environment(
        STATE_DIR=str(tmp_path),
        BOOKSHELF_DATA_DIR=str(tmp_path),
        **{SETTINGS_FILE: str(tmp_path / "none.env")},
    )
    command = setting(unit, "ExecStart").split()[1:]
    done = subprocess.run(
        [sys.executable, *command],
        cwd=PROJECT,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 2
    assert str(done.returncode) in setting(unit, "RestartPreventExitStatus").split()
    (line,) = done.stderr.splitlines()
    assert f"there is no {tmp_path}/none.env, the settings of this service" in line
    assert list(tmp_path.iterdir()) == []


def test_the_watch_is_the_monitor_that_stays() -> None:
    """It may do the same, and is not restarted where that cannot help either."""
    ours, theirs = (
        {
            line
            for line in (UNITS / unit).read_text("utf-8").splitlines()
            if line and not line.startswith("#")
        }
        for unit in (WATCH, MONITOR)
    )
    assert {line.partition("=")[0] for line in ours - theirs} == {
        "Description",
        "Conflicts",
        "ExecStart",
    }
    assert setting(WATCH, "ExecStart").endswith("-m deploy.launch --foreground --watch")


def test_the_watchdog_outwaits_the_longest_look() -> None:
    """Half a period: the last sign of life may be that old when a look begins."""
    restart = config.STACK_SECONDS + 2 * config.KILL_GRACE_SECONDS
    probes = 3 * config.PROBE_ANSWER_SECONDS
    look = LOOK_SECONDS + probes + config.MAX_WORKER_COUNT * restart
    last_look = 2 * config.KILL_GRACE_SECONDS + config.REPORT_SECONDS
    assert (
        max(look, last_look) + config.CHILD_SECONDS
        < float(setting(MONITOR, "WatchdogSec")) / 2
    )


def test_the_monitor_has_the_time_to_stop() -> None:
    """A worker that is being killed, then the others, a command that is being carried
    out (10 s), the last alerts (15 s)."""
    needed = (
        config.STACK_SECONDS
        + 2 * config.KILL_GRACE_SECONDS
        + 2 * config.KILL_GRACE_SECONDS
        + 10
        + 15
    )
    assert needed <= float(setting(MONITOR, "TimeoutStopSec"))


# -- the services ----------------------------------------------------------------------


@pytest.fixture
def manager() -> Iterator[Manager]:
    """Listens to the service under test."""
    with Manager() as made:
        yield made


@pytest.fixture
def metronome(tmp_path: Path) -> Iterator[Manager]:
    """Hears a healthy embedded server: it tells how long a watchdog's period is on a
    machine that is busy."""
    with Manager() as made:
        _url, process = server(tmp_path / "metronome", made)
        yield made
        end(process)


def server(folder: Path, manager: Manager) -> "tuple[str, subprocess.Popen[str]]":
    """An embedded server that speaks to this manager: its URL and its process."""
    variables = manager.environment()
    shelf = start_shelf(
        folder,
        NOTIFY_SOCKET=variables["NOTIFY_SOCKET"],
        WATCHDOG_USEC=variables["WATCHDOG_USEC"],
    )
    assert shelf.process is not None
    return shelf.url, shelf.process


def beats(manager: Manager, count: int) -> None:
    """Waits for so many signs of life."""
    manager.received()
    wanted = manager.all.count("WATCHDOG=1") + count
    wait_for(
        lambda: manager.has("WATCHDOG=1") and manager.all.count("WATCHDOG=1") >= wanted
    )


def silent(manager: Manager, metronome: Manager) -> None:
    """For three whole periods, in which a healthy service gives six signs of life,
    nothing is heard."""
    manager.received()
    beats(metronome, 6)
    assert manager.received() == []


def test_the_embedded_server_from_start_to_end(
    tmp_path: Path, manager: Manager
) -> None:
    """Ready when it listens, alive while its loop turns, stopping when asked."""
    url, process = server(tmp_path / "shelf", manager)
    try:
        wait_for(lambda: manager.has(f"STATUS=listening on {url}"))
        beats(manager, 3)
        assert manager.all[0] == "READY=1"
        process.terminate()
        assert process.wait(60) == 0
        assert manager.has("STOPPING=1")
        assert manager.senders == {process.pid}
    finally:
        end(process)


def test_a_frozen_server_gives_no_sign_of_life(
    tmp_path: Path, manager: Manager, metronome: Manager
) -> None:
    """SIGSTOP; it is heard again when it is woken."""
    _url, process = server(tmp_path / "shelf", manager)
    try:
        beats(manager, 2)
        process.send_signal(signal.SIGSTOP)
        wait_for(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED)
        silent(manager, metronome)
        process.send_signal(signal.SIGCONT)
        beats(manager, 2)
    finally:
        end(process)


def test_the_monitor_from_start_to_end(watch: Watch, manager: Manager) -> None:
    """Ready when the workers are started, alive while it looks, its status in words,
    stopping at the end."""
    watch.more |= manager.environment()
    process = watch.start("--workers", "2")
    environment = watch.worker(1).environ()
    assert not {"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"} & set(environment)
    _out, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    manager.received()
    assert (manager.all[0], manager.all[-1]) == ("READY=1", "STOPPING=1")
    assert manager.all.count("WATCHDOG=1") >= 2
    told = [line for line in manager.all if line.startswith("STATUS=")]
    assert all(
        re.fullmatch(
            r"STATUS=2 workers; pass 1: \d+ of \d+ files to do, 0 failed", line
        )
        for line in told
    )
    assert told[-1] == "STATUS=2 workers; pass 1: 0 of 60 files to do, 0 failed"
    assert manager.senders == {process.pid}


def test_a_monitor_with_nothing_to_watch_is_ready_before_it_ends(
    watch: Watch, manager: Manager
) -> None:
    """Otherwise systemd would call it failed."""
    watch.run("--workers", "1")
    watch.more |= manager.environment()
    assert watch.command().returncode == 0
    assert manager.received() == ["READY=1", "STOPPING=1"]


def test_a_frozen_monitor_gives_no_sign_of_life(
    watch: Watch, manager: Manager, metronome: Manager
) -> None:
    """SIGSTOP; the workers go on meanwhile."""
    watch.more |= manager.environment()
    process = watch.start("--workers", "1")
    beats(manager, 2)
    process.send_signal(signal.SIGSTOP)
    wait_for(lambda: psutil.Process(process.pid).status() == psutil.STATUS_STOPPED)
    silent(manager, metronome)
    process.send_signal(signal.SIGCONT)
    _out, said = process.communicate(timeout=120)
    assert process.returncode == 0, said


def test_a_monitor_that_hangs_in_a_look_gives_no_sign_of_life(
    watch: Watch, manager: Manager, metronome: Manager
) -> None:
    """Only the loop speaks, no thread beside it: here it waits for a frozen worker to
    heed TERM."""
    watch.more |= {**manager.environment(), "KILL_GRACE_SECONDS": "600"}
    process = watch.start("--workers", "1")
    frozen = watch.worker(1)
    frozen.send_signal(signal.SIGSTOP)
    log = watch.state / "auto_restart.log"
    wait_for(lambda: "Restarting worker 1" in log.read_text())
    silent(manager, metronome)
    frozen.kill()
    beats(manager, 2)
    _out, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    watch.all_arrived_once()


def test_a_watch_stays_ready_and_says_what_it_found(
    watch: Watch, manager: Manager
) -> None:
    """Between two passes, too, the loop gives signs of life; TERM ends it."""
    watch.more |= {**manager.environment(), "WATCH_EVERY_SECONDS": "600"}
    watch.more["WATCH_QUIET_SECONDS"] = "0.2"
    process = watch.start("--watch", "--workers", "2")
    # The pass was opened by hand, so another one follows.
    wait_for(
        lambda: any(
            line.startswith("STATUS=watching; looked ") and "since pass 2" in line
            for line in (manager.received(), manager.all)[1]
        ),
        120,
    )
    beats(manager, 3)
    process.terminate()
    _out, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    manager.received()
    assert (manager.all[0], manager.all[-1]) == ("READY=1", "STOPPING=1")
    watch.all_arrived_once(again=True)


def test_a_watch_comes_up_before_its_library(watch: Watch, manager: Manager) -> None:
    """After a reboot: what the unit starts waits for a late mount, and for no server
    either; an unknown library is an error."""
    away = watch.library.root.rename(watch.state.parent / "away")
    environment = {
        **watch.environment(),
        **manager.environment(),
        "TARGET_WORKER_COUNT": "1",
        "WATCH_QUIET_SECONDS": "0.5",
        "WATCH_EVERY_SECONDS": "1",
    }
    command = [
        sys.executable if part == f"{INSTALLED}/.venv/bin/python" else part
        for part in setting(WATCH, "ExecStart").split()
    ]
    refused = subprocess.run(
        command,
        cwd=PROJECT,
        env={**environment, "STATE_DIR": str(watch.state.parent / "other")},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert refused.returncode == 2
    assert "has no metadata.db" in refused.stderr
    process = subprocess.Popen(
        [*command, "--no-dashboard"],
        cwd=PROJECT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    watch.running.append(process)
    wait_for(lambda: manager.has("READY=1"), 120)
    log = watch.state / "monitor.log"
    wait_for(lambda: "Every worker ended with status 4" in log.read_text(), 120)
    away.rename(watch.library.root)
    wait_for(lambda: "Pass 1 closed" in log.read_text(), 120)
    process.terminate()
    assert process.wait(60) == 0
    watch.all_arrived_once(again=True)


def test_what_systemd_starts_becomes_the_monitor(
    watch: Watch, manager: Manager
) -> None:
    """The command of the unit: checks, opens the pass, and is the monitor in the same
    process."""
    shutil.rmtree(watch.state)
    # Split first: the checkout may be in a folder with a blank in its name.
    installed = setting(MONITOR, "ExecStart").split()
    command = [
        sys.executable if part == f"{INSTALLED}/.venv/bin/python" else part
        for part in installed
    ]
    environment = {
        **watch.environment(),
        **manager.environment(),
        "TARGET_WORKER_COUNT": "1",
    }
    process = subprocess.Popen(
        command,
        cwd=PROJECT,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        wait_for(lambda: manager.has("READY=1"), 120)
        _out, said = process.communicate(timeout=120)
        assert process.returncode == 0, said
        assert manager.has("STOPPING=1")
        assert manager.senders == {process.pid}
        watch.all_arrived_once()
    finally:
        if process.poll() is None:
            process.terminate()
            process.wait(60)
        # systemd ends the dashboard with its unit; here nobody else does.
        stopped = subprocess.run(
            [PROJECT / "stop.sh"],
            check=False,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
        )
    assert "dashboard" in stopped.stdout + stopped.stderr


START_AND_STOP = """
import sys
from pathlib import Path
from contextlib import ExitStack
from deploy.host import embedded, processes
from common.settings.load import Sources
from deploy.host.children import environment_for
folder = Path(sys.argv[1])
embedded.embedded_server(folder, environment_for(Sources()), ExitStack())
print(processes.stop([processes.server(folder)[0]]))
"""


def test_the_server_that_start_sh_starts_is_no_service(
    tmp_path: Path, manager: Manager
) -> None:
    """It does not speak in the name of whoever started it."""
    done = subprocess.run(
        [sys.executable, "-c", START_AND_STOP, str(tmp_path / "bookshelf")],
        cwd=PROJECT,
        env=clean_environment(**manager.environment()),
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    assert done.stdout.splitlines()[-1] == "1"
    assert manager.received() == []
