"""A Dask cluster of real processes: a scheduler that can be restarted in its place, and
machines of one worker each."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
from pathlib import Path

import psutil

from tests.support.environment import PROJECT, clean_environment

NONE: Mapping[str, str] = {}


class DaskCluster:
    """Everything it starts is ended by `close`, with whatever that has started itself.

    `inside` are words put before every command of the scheduler (such as `ip netns exec
    NAME`)."""

    def __init__(
        self,
        folder: Path,
        *,
        host: str = "127.0.0.1",
        inside: Sequence[str] = (),
        protocol: str = "tcp",
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.host = host
        self.port = _free_port() if host == "127.0.0.1" else 8786
        self.address = f"{protocol}://{host}:{self.port}"
        self.scheduler: subprocess.Popen[bytes] | None = None
        self.machines: list[subprocess.Popen[bytes]] = []
        self._inside = inside
        self._protocol = protocol

    def start_scheduler(
        self, *, cwd: Path = PROJECT, environment: Mapping[str, str] = NONE
    ) -> None:
        """Starts it, always at the same address, and waits until it listens."""
        self.scheduler = self._start(
            [
                *self._inside,
                *_dask("scheduler"),
                "--protocol",
                self._protocol,
                "--host",
                self.host,
                "--port",
                str(self.port),
                "--no-dashboard",
                "--dashboard-address",
                f"{self.host}:0",
            ],
            f"scheduler{time.monotonic_ns()}",
            environment,
            cwd,
        )
        deadline = time.monotonic() + 60
        while "Scheduler at:" not in (said := self.said("scheduler")):
            assert self.scheduler.poll() is None, said
            assert time.monotonic() < deadline, said
            time.sleep(0.1)

    def start_machine(
        self,
        *,
        host: str = "127.0.0.1",
        nanny: bool = False,
        forever: bool = False,
        cwd: Path = PROJECT,
        inside: Sequence[str] = (),
        environment: Mapping[str, str] = NONE,
    ) -> "subprocess.Popen[bytes]":
        """One Dask worker process with two threads.

        With `nanny` it comes back after its death. `forever` starts it again whenever
        it ends, as a service manager does: Dask's workers end when their scheduler
        does."""
        options = [
            "--nanny" if nanny else "--no-nanny",
            "--nthreads",
            "2",
            "--host",
            host,
            "--no-dashboard",
        ]
        command = [
            *inside,
            *_dask("worker"),
            self.address,
            *options,
            "--dashboard-address",
            f"{host}:0",
            "--local-directory",
            str(self.folder),
            "--memory-limit",
            "0",
        ]
        if forever:
            command = ["sh", "-c", 'while :; do "$@"; sleep 0.5; done', "sh", *command]
        self.machines.append(
            self._start(command, f"machine{len(self.machines)}", environment, cwd)
        )
        return self.machines[-1]

    def said(self, who: str) -> str:
        """What the newest process whose log begins with this has said."""
        logs = sorted(
            self.folder.glob(f"{who}*.log"), key=lambda path: path.stat().st_mtime_ns
        )
        return logs[-1].read_text("utf-8", "replace") if logs else ""

    def close(self) -> None:
        """Ends everything."""
        for process in [*self.machines, self.scheduler]:
            if process is not None:
                end_family(process)

    def _start(
        self,
        command: Sequence[str],
        name: str,
        environment: Mapping[str, str],
        cwd: Path = PROJECT,
    ) -> "subprocess.Popen[bytes]":
        # Dask's own programs are not held to warnings being errors.
        env = clean_environment(**{"PYTHONWARNINGS": "ignore", **environment})
        with (self.folder / f"{name}.log").open("wb") as log:
            return subprocess.Popen(
                command, cwd=cwd, env=env, stdout=log, stderr=subprocess.STDOUT
            )


def end_family(process: "subprocess.Popen[bytes]") -> None:
    """Kills a process with its children and waits for it; also when it was stopped or
    is gone."""
    with suppress(psutil.NoSuchProcess):
        family = [
            psutil.Process(process.pid),
            *psutil.Process(process.pid).children(recursive=True),
        ]
        for member in family:
            with suppress(psutil.NoSuchProcess):
                member.send_signal(signal.SIGKILL)
        psutil.wait_procs(family[1:], timeout=10)
    process.wait(10)


def _dask(program: str) -> list[str]:
    return [sys.executable, "-m", "dask", program]


def _free_port() -> int:
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_root() -> bool:
    """Namespaces are for root only."""
    return os.geteuid() == 0
