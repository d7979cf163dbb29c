"""A machine with a booted systemd, in a container of a real engine, with the project
installed as docs/deployment.md says."""

import os
import subprocess
import uuid
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.environment import PASSWORD, PROJECT
from tests.support.machine.dockerkit import COMMAND_SECONDS, Docker
from tests.support.migration.workerkit import wait_for

INSTALLED = "/opt/calibre-migration"
USER = "calibre-migration"
#: On top of the migrator's image, which has Python and the libraries in /venv.
DOCKERFILE = """
FROM {base}
USER root
RUN apt-get update && apt-get install -y --no-install-recommends systemd systemd-sysv procps
ENV PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
STOPSIGNAL SIGRTMIN+3
CMD ["/sbin/init"]
"""
#: What systemd needs of the capabilities that a container of this engine can have.
CAPABILITIES = ("SYS_ADMIN", "NET_ADMIN", "SYS_PTRACE", "AUDIT_CONTROL")
#: So that the test need not wait for minutes.
QUICK = "[Service]\nWatchdogSec=8\nRestartSec=2\nTimeoutStopSec=20\n"
STEPS = f"""
ln -s /venv {INSTALLED}/.venv
useradd --system --home-dir /var/lib/{USER} --no-create-home --shell /usr/sbin/nologin {USER}
cp {INSTALLED}/deploy/systemd/*.service /etc/systemd/system/
systemctl daemon-reload
"""


@dataclass(frozen=True, slots=True)
class Booted:
    """One such machine."""

    docker: Docker
    name: str

    def run(
        self, *command: str, given: str | None = None, check: bool = True
    ) -> "subprocess.CompletedProcess[str]":
        """A command as root."""
        done = subprocess.run(
            ["docker", "exec", "-i", self.name, *command],
            env=self.docker.environment,
            input=given or "",
            text=True,
            capture_output=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        assert done.returncode == 0 or not check, (command, done.stdout, done.stderr)
        return done

    def shell(self, script: str) -> str:
        """Some lines of sh, as root; returns what they print."""
        return self.run("sh", "-euc", script).stdout

    def monitor(self, *options: str) -> str:
        """`monitor.py …` as the service's user, in the service's state directory."""
        return self.run(
            *("runuser", "-u", USER, "--", "env", f"STATE_DIR=/var/lib/{USER}"),
            *("CALIBRE_LIBRARY=/library", "PYTHONDONTWRITEBYTECODE=1"),
            *(f"{INSTALLED}/.venv/bin/python", f"{INSTALLED}/auto_monitor/monitor.py"),
            *options,
        ).stdout

    def shown(self, unit: str, name: str) -> str:
        """A property of a unit."""
        return self.run("systemctl", "show", "-P", name, unit).stdout.strip()

    def starts(self, unit: str) -> bool:
        """Starts a unit; whether that worked."""
        return self.run("systemctl", "start", unit, check=False).returncode == 0

    def journal(self, unit: str) -> str:
        """What a unit has said."""
        return self.run("journalctl", "-o", "cat", "--no-pager", "-u", unit).stdout

    def restarted(self, unit: str, signal: str) -> None:
        """Sends its main process a signal, and waits until systemd has it up again."""
        before = int(self.shown(unit, "NRestarts"))
        self.run("kill", f"-{signal}", self.shown(unit, "MainPID"))
        wait_for(
            lambda: (
                int(self.shown(unit, "NRestarts")) > before
                and self.shown(unit, "ActiveState") == "active"
            ),
            120,
        )


def boot(docker: Docker, base: str, library: Path, folder: Path) -> Booted:
    """Builds and boots it. Skips, with a sentence, where a container cannot have what
    systemd needs."""
    (folder / "Dockerfile").write_text(DOCKERFILE.format(base=base))
    tag = f"booted-{uuid.uuid4().hex[:8]}"
    docker.run("build", "--quiet", "--tag", tag, str(folder))
    made = Booted(docker, tag)
    rights = [word for name in CAPABILITIES for word in ("--cap-add", name)]
    options = ["--security-opt", "seccomp=unconfined", "--cgroupns", "private"]
    options += [
        word for at in ("/run", "/run/lock", "/tmp") for word in ("--tmpfs", at)
    ]
    docker.run(
        *("run", "--detach", "--rm", "--name", tag, *rights, *options),
        *("--security-opt", "apparmor=unconfined"),
        *("--volume", "/sys/fs/cgroup:/sys/fs/cgroup:rw"),
        *("--volume", f"{library}:/library:ro", tag),
        check=False,
    )

    def is_up() -> bool:
        said = made.run("systemctl", "is-system-running", check=False).stdout
        return said.strip() in ("running", "degraded")

    try:
        wait_for(is_up, 60)
    except AssertionError:
        log = docker.run("logs", tag, check=False).stdout
        shut_down(made)
        if os.environ.get("CI"):
            pytest.fail(
                f"no systemd can be booted in a container under CI: {log[-500:]}"
            )
        pytest.skip(f"no systemd can be booted in a container here: {log[-200:]}")
    _install(made)
    return made


def _install(machine: Booted) -> None:
    """The steps of the docs, with the working tree in place of a clone."""
    machine.run("mkdir", "-p", INSTALLED)
    with subprocess.Popen(
        ["git", "ls-files", "-z"], cwd=PROJECT, stdout=subprocess.PIPE
    ) as listed:
        packed = subprocess.run(
            ["tar", "--null", "--files-from=-", "-c"],
            cwd=PROJECT,
            stdin=listed.stdout,
            stdout=subprocess.PIPE,
            check=True,
            timeout=120,
        ).stdout
    subprocess.run(
        ["docker", "exec", "-i", machine.name, "tar", "-x", "-C", INSTALLED],
        env=machine.docker.environment,
        input=packed,
        check=True,
        timeout=120,
    )
    machine.shell(STEPS)


def settle_in(machine: Booted, units: tuple[str, ...]) -> None:
    """The settings file, and shorter times as `systemctl edit` makes them."""
    lines = (
        f"CALIBRE_LIBRARY=/library\nMBS2_PASSWORD={PASSWORD}\nTARGET_WORKER_COUNT=2\n"
    )
    lines += "CHECK_INTERVAL_SECONDS=1\nWATCH_QUIET_SECONDS=1\nWATCH_EVERY_SECONDS=3\n"
    machine.run("tee", "-a", "/etc/calibre-migration.env", given=lines)
    for unit in units:
        folder = f"/etc/systemd/system/{unit}.d"
        machine.run("mkdir", "-p", folder)
        machine.run("tee", f"{folder}/quick.conf", given=QUICK)
    machine.shell("systemctl daemon-reload; systemctl reset-failed")


def shut_down(machine: Booted) -> None:
    """Container and image."""
    machine.docker.run("rm", "--force", machine.name, check=False)
    machine.docker.run("image", "rm", "--force", machine.name, check=False)
