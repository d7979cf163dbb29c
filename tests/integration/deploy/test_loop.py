"""deploy/server/loop.sh with real programs that die, ignore signals and leave children
behind."""

import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.support.environment import PROJECT, clean_environment, needs
from tests.support.machine.hostkit import NOBODY, copied, program, public_folder
from tests.support.migration.workerkit import wait_for

pytestmark = pytest.mark.integration
LOOP = PROJECT / "deploy" / "server" / "loop.sh"
#: Writes a line for each start of its own.
COUNT = 'echo "$$" >>"$STARTS"; n=$(wc -l <"$STARTS")'


def runs(pid: int) -> bool:
    """Is it there, and no zombie?"""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class Loop:
    """loop.sh around one program, in a process of its own."""

    def __init__(self, folder: Path, text: str, settings: dict[str, str]) -> None:
        self.starts = folder / "starts"
        self.said = folder / "said"
        command = [str(LOOP), str(program(folder / "program", text))]
        environment = clean_environment(
            STARTS=str(self.starts), GOT=str(folder / "got"), **settings
        )
        with self.said.open("wb") as said:
            self.process = subprocess.Popen(command, env=environment, stderr=said)

    def pids(self) -> list[int]:
        """The process ids that the program has had, and those of what it has
        started."""
        return (
            [int(line) for line in self.starts.read_text().split()]
            if self.starts.exists()
            else []
        )

    def started(self, count: int) -> None:
        """Waits for the program's start number `count`."""
        wait_for(lambda: len(self.pids()) >= count)

    def stop(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Sends a signal; returns the exit status."""
        self.process.send_signal(number)
        return self.process.wait(60)

    def nothing_runs(self) -> None:
        """Waits until nothing that was started here runs; an orphan may stay a zombie
        where nobody collects it."""
        wait_for(lambda: not any(map(runs, self.pids())))

    def pauses(self) -> list[tuple[float, float]]:
        """How long each run lasted and the pause after it, seconds, as the loop
        says."""
        found = re.findall(
            r"after ([\d.]+) s; started again in ([\d.]+) s", self.said.read_text()
        )
        return [(float(lasted), float(pause)) for lasted, pause in found]


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Callable[..., Loop]]:
    """Starts loops; whatever is left after the test is killed."""
    made: list[Loop] = []

    def start(text: str, **settings: str) -> Loop:
        made.append(Loop(tmp_path, text, {"LOOP_PAUSE_SECONDS": "0.01", **settings}))
        return made[-1]

    yield start
    for one in made:
        one.process.kill()
        one.process.wait(10)
        for pid in filter(psutil.pid_exists, one.pids()):
            os.kill(pid, signal.SIGKILL)


def expected_pauses(
    runs: list[float], first: float, longest: float, healthy: float
) -> list[float]:
    """The law: doubled after each quick run up to the longest, begun anew after a
    healthy one."""
    pauses, pause = [], first
    for lasted in runs:
        pause = first if lasted >= healthy else pause
        pauses.append(pause)
        pause = min(2 * pause, longest)
    return pauses


def test_a_program_that_dies_five_times(loop: Callable[..., Loop]) -> None:
    """Started six times, with pauses that grow up to a bound."""
    made = loop(
        COUNT + "; [ $n -gt 5 ] || exit 3; exec sleep 600",
        LOOP_MAX_PAUSE_SECONDS="0.08",
    )
    made.started(6)
    assert made.stop() == 0
    assert [pause for _lasted, pause in made.pauses()] == [0.01, 0.02, 0.04, 0.08, 0.08]
    assert made.said.read_text().count("ended with 3 after") == 5
    assert len(made.pids()) == 6


def test_a_healthy_run_begins_the_pauses_anew(loop: Callable[..., Loop]) -> None:
    """Two quick ends, one run that lasts, two quick ends."""
    made = loop(
        COUNT + "; [ $n -ne 3 ] || sleep 1.2; [ $n -le 5 ] || exec sleep 600; exit 0",
        LOOP_HEALTHY_SECONDS="1",
    )
    made.started(6)
    made.stop()
    lasted, pauses = zip(*made.pauses(), strict=True)
    assert len(lasted) == 5
    assert lasted[2] >= 1
    assert list(pauses) == expected_pauses(list(lasted), 0.01, 60, 1)
    assert pauses[2] == 0.01


def test_it_gives_up_when_told_so(loop: Callable[..., Loop]) -> None:
    """With the program's own status."""
    made = loop(COUNT + "; exit 9", LOOP_MAX_QUICK_ENDS="3")
    assert made.process.wait(60) == 9
    assert len(made.pids()) == 3


@pytest.mark.parametrize(
    "number",
    [signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGQUIT],
    ids=lambda n: n.name,
)
def test_a_signal_ends_program_and_loop(
    loop: Callable[..., Loop], tmp_path: Path, number: signal.Signals
) -> None:
    """The program gets TERM and may take leave; what it has started does not outlive
    it."""
    made = loop(
        'trap \'echo TERM >"$GOT"; exit 0\' TERM; sleep 600 & echo $! >>"$STARTS"; '
        + COUNT
        + "; wait; sleep 600"
    )
    made.started(2)
    assert made.stop(number) == 0
    assert (tmp_path / "got").read_text() == "TERM\n"
    made.nothing_runs()


def test_a_program_that_ignores_the_signal_is_killed(loop: Callable[..., Loop]) -> None:
    """With all its children, after the grace; 137 says so."""
    made = loop(
        "trap '' TERM; sleep 600 & echo $! >>\"$STARTS\"; "
        + COUNT
        + "; while :; do sleep 600; done",
        LOOP_GRACE_SECONDS="0.3",
    )
    made.started(2)
    assert made.stop() == 137
    assert "did not end within 0.300 s" in made.said.read_text()
    made.nothing_runs()


def test_what_a_program_leaves_behind_does_not_survive_its_end(
    loop: Callable[..., Loop],
) -> None:
    """A child that held the port would keep the next start from it."""
    made = loop('sleep 600 & echo $! >>"$STARTS"; exit 4', LOOP_MAX_QUICK_ENDS="2")
    assert made.process.wait(60) == 4
    made.nothing_runs()


def test_a_signal_in_a_long_pause_is_obeyed_at_once(loop: Callable[..., Loop]) -> None:
    """Not after the pause."""
    made = loop(COUNT, LOOP_PAUSE_SECONDS="6000", LOOP_MAX_PAUSE_SECONDS="6000")
    wait_for(lambda: "started again in 6000" in made.said.read_text())
    sleeping = psutil.Process(made.process.pid).children()
    assert made.stop() == 0
    wait_for(lambda: not any(child.is_running() for child in sleeping))


@pytest.mark.parametrize(
    ("mode", "status"), [(None, 127), (0o644, 126)], ids=["missing", "not executable"]
)
def test_what_cannot_be_started_is_not_tried_again(
    tmp_path: Path, mode: int | None, status: int
) -> None:
    """The status of a shell in that case."""
    path = tmp_path / "program"
    if mode is not None:
        program(path, "exit 0").chmod(mode)
    done = subprocess.run(
        [LOOP, path], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, "cannot be started" in done.stderr) == (status, True)


WRONG = [
    ("LOOP_PAUSE_SECONDS", "soon"),
    ("LOOP_PAUSE_SECONDS", "-1"),
    ("LOOP_MAX_PAUSE_SECONDS", "1.2.3"),
    ("LOOP_HEALTHY_SECONDS", "007"),
    ("LOOP_GRACE_SECONDS", "1000000"),
    ("LOOP_MAX_QUICK_ENDS", "2.5"),
]


@pytest.mark.parametrize(("name", "value"), WRONG)
def test_a_setting_that_makes_no_sense(name: str, value: str) -> None:
    """Named; nothing is started."""
    environment = clean_environment(**{name: value})
    done = subprocess.run(
        [LOOP, "true"],
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, f"{name}='{value}'" in done.stderr) == (2, True)


def test_without_a_program() -> None:
    """Wrong usage."""
    done = subprocess.run(
        [LOOP], capture_output=True, text=True, timeout=60, check=False
    )
    assert (done.returncode, "usage: loop.sh PROGRAM" in done.stderr) == (2, True)


#: Says who it is, whether it can write, and how many zombies there are; leaves an
#: orphan to the first process.
LOOK = (
    "echo $(cat /proc/1/comm) $(id -u) $(touch / 2>/dev/null && echo writable || echo read-only) "
    "$(grep -l '^State:.Z' /proc/[0-9]*/status 2>/dev/null | wc -l); (setsid true &); exit 1"
)


def test_as_the_first_process_of_a_container() -> None:
    """Process 1 of a process namespace, not root, on a read-only root: as under
    Docker."""
    if os.geteuid() != 0:
        pytest.skip("needs root to make a process namespace with another user")
    needs("unshare")
    needs("setpriv")
    with public_folder() as folder:
        copied(folder, "server/loop.sh")
        program(folder / "program", LOOK)
        inside = (
            "mount -o remount,bind,ro / && mount -t proc proc /proc && "
            f"exec setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups "
            "deploy/server/loop.sh ./program"
        )
        process = subprocess.Popen(
            [
                "unshare",
                "--pid",
                "--fork",
                "--mount",
                "--kill-child",
                "sh",
                "-c",
                inside,
            ],
            cwd=folder,
            env=clean_environment(
                LOOP_PAUSE_SECONDS="0.01", LOOP_MAX_PAUSE_SECONDS="0.01"
            ),
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert process.stdout is not None
        seen = [process.stdout.readline().split() for _ in range(6)]
        (first,) = psutil.Process(process.pid).children()
        first.terminate()
        assert process.wait(60) == 0
        process.stdout.close()
    assert {tuple(line[:3]) for line in seen} == {("loop.sh", str(NOBODY), "read-only")}
    # Orphans are collected; one may just have ended.
    assert int(seen[-1][3]) <= 1
