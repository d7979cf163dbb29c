"""A real Docker engine for tests: one that runs already, or one started here with a
data root of its own.

No image is pulled: the base is a minimal Debian made by debootstrap. Compose comes with
the engine, or out of the package of the next Debian release."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.environment import PROJECT, needs

BASE_IMAGE = "debian:bookworm-slim"
#: Seconds for the engine to answer, and for one command of it.
START_SECONDS, COMMAND_SECONDS = 60.0, 900.0
#: Certificates that a build must trust on this machine, by whichever name they are
#: known.
_CA_VARIABLES = ("PIP_CERT", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE")


@dataclass(frozen=True, slots=True)
class Docker:
    """A way to an engine; `environment` names it."""

    environment: dict[str, str]

    def run(
        self, *arguments: str, check: bool = True, **more: str
    ) -> "subprocess.CompletedProcess[str]":
        """`docker …` to its end; what it said is in the failure."""
        done = subprocess.run(
            ["docker", *arguments],
            cwd=PROJECT,
            env={**self.environment, **more},
            stdin=subprocess.DEVNULL,
            text=True,
            capture_output=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        assert done.returncode == 0 or not check, (
            f"docker {' '.join(arguments)}\n{done.stdout}\n{done.stderr}"
        )
        return done

    def answers(self) -> bool:
        """Is there an engine?"""
        return self.run("info", check=False).returncode == 0


@contextmanager
def engine(folder: Path) -> Iterator[Docker]:
    """An engine with Compose and the base image. Skips, with a sentence, where none can
    be started: not root."""
    with ExitStack() as stack:
        docker = Docker(
            {
                **os.environ,
                "DOCKER_CONFIG": str(folder / "config"),
                "COMPOSE_ANSI": "never",
            }
        )
        if shutil.which("docker") is None or not docker.answers():
            if os.getuid() != 0:
                pytest.skip("no Docker engine answers, and only root can start one")
            docker = stack.enter_context(_started(docker, folder))
        _ensure_compose(docker, folder)
        _ensure_base(docker, folder)
        yield docker


@contextmanager
def _started(docker: Docker, folder: Path) -> Iterator[Docker]:
    """`dockerd` with its own data root and socket; ended, with what it runs,
    afterwards."""
    for program in ("docker", "dockerd", "debootstrap"):
        needs(program)
    address, log = folder / "docker.sock", folder / "dockerd.log"
    with log.open("wb") as said:
        daemon = subprocess.Popen(
            [
                "dockerd",
                "--data-root",
                folder / "data",
                "--exec-root",
                folder / "exec",
                "-H",
                f"unix://{address}",
                "--pidfile",
                folder / "docker.pid",
            ],
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
        )
    try:
        ours = Docker({**docker.environment, "DOCKER_HOST": f"unix://{address}"})
        deadline = time.monotonic() + START_SECONDS
        while not ours.answers():
            said_last = log.read_text("utf-8", "replace").strip().splitlines()[-1:]
            if daemon.poll() is not None or time.monotonic() > deadline:
                pytest.skip(f"no Docker engine can be started here: {said_last}")
            time.sleep(0.2)
        yield ours
    finally:
        daemon.terminate()
        daemon.wait(60)
        shutil.rmtree(folder / "data", ignore_errors=True)


def _ensure_compose(docker: Docker, folder: Path) -> None:
    """The Compose V2 plugin, when the engine came without it."""
    if docker.run("compose", "version", check=False).returncode == 0:
        return
    for path in (
        "/usr/libexec/docker/cli-plugins",
        "/usr/lib/docker/cli-plugins",
        "/usr/local/lib/docker/cli-plugins",
    ):
        if Path(path, "docker-compose").exists():
            place = Path(docker.environment["DOCKER_CONFIG"]) / "cli-plugins"
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(Path(path, "docker-compose"), place)
            return
    package = _next_release_package("docker-compose", folder / "apt")
    subprocess.run(
        ["dpkg-deb", "-x", str(package), str(folder / "compose")],
        check=True,
        timeout=120,
    )
    plugins = Path(docker.environment["DOCKER_CONFIG"]) / "cli-plugins"
    plugins.mkdir(parents=True, exist_ok=True)
    shutil.copy(
        folder / "compose/usr/libexec/docker/cli-plugins/docker-compose", plugins
    )
    docker.run("compose", "version")


def _next_release_package(name: str, folder: Path) -> Path:
    """A package of Debian trixie, from the mirrors this bookworm is set up with;
    nothing is installed."""
    needs("apt-get")
    for place in ("lists/partial", "cache/archives/partial"):
        (folder / place).mkdir(parents=True)
    sources = [
        *Path("/etc/apt/sources.list.d").glob("*.sources"),
        *Path("/etc/apt/sources.list.d").glob("*.list"),
    ]
    sources += [Path("/etc/apt/sources.list")]
    for source in (path for path in sources if path.is_file()):
        text = source.read_text("utf-8")
        if "bookworm" in text:
            (folder / f"next{source.suffix}").write_text(
                text.replace("bookworm", "trixie"), "utf-8"
            )
    (folder / "parts").mkdir()
    for path in folder.glob("next*"):
        path.rename(folder / "parts" / path.name)
    options = [
        "-o",
        "Dir::Etc::sourcelist=/dev/null",
        "-o",
        f"Dir::Etc::sourceparts={folder / 'parts'}",
        "-o",
        f"Dir::State::lists={folder / 'lists'}",
        "-o",
        f"Dir::Cache={folder / 'cache'}",
        "-o",
        "APT::Sandbox::User=root",
    ]
    for command in (["update", "-qq"], ["download", "-qq", f"{name}/trixie"]):
        subprocess.run(
            ["apt-get", *options, *command],
            cwd=folder,
            check=True,
            timeout=300,
            capture_output=True,
        )
    return next(folder.glob(f"{name}_*.deb"))


def _ensure_base(docker: Docker, folder: Path) -> None:
    """The base image: as it is there, else a minimal Debian of our own."""
    if docker.run("image", "inspect", BASE_IMAGE, check=False).returncode == 0:
        return
    needs("debootstrap")
    root = folder / "base"
    subprocess.run(
        ["debootstrap", "--variant=minbase", "bookworm", str(root)],
        check=True,
        timeout=600,
        capture_output=True,
    )
    with subprocess.Popen(
        ["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE
    ) as archive:
        subprocess.run(
            ["docker", "import", "-", BASE_IMAGE],
            stdin=archive.stdout,
            env=docker.environment,
            check=True,
            timeout=300,
            capture_output=True,
        )
    shutil.rmtree(root, ignore_errors=True)


def certificates() -> dict[str, str]:
    """What a build needs to trust here, as docker-compose.yml takes it."""
    for name in _CA_VARIABLES:
        path = os.environ.get(name, "")
        if path and Path(path).is_file():
            return {"BUILD_CA_FILE": path}
    return {}


def free_port() -> int:
    """A port of this machine that nobody has at this moment."""
    with socket.create_server(("127.0.0.1", 0)) as held:
        return int(held.getsockname()[1])


@dataclass(frozen=True, slots=True)
class Stack:
    """One Compose project with its settings; `files` are further Compose files."""

    docker: Docker
    project: str
    settings: dict[str, str]
    files: Sequence[Path] = ()
    profiles: Sequence[str] = ("embedded", "migrate")
    env_file: Path = Path("/dev/null")

    def compose(
        self, *arguments: str, check: bool = True
    ) -> "subprocess.CompletedProcess[str]":
        """`docker compose … …` with the files and profiles of this project."""
        files = [
            word
            for path in (PROJECT / "docker-compose.yml", *self.files)
            for word in ("-f", str(path))
        ]
        profiles = [
            word for profile in self.profiles for word in ("--profile", profile)
        ]
        return self.docker.run(
            "compose",
            "--env-file",
            str(self.env_file),
            *files,
            "-p",
            self.project,
            *profiles,
            *arguments,
            check=check,
            **self.settings,
        )

    def python(self, service: str, code: str) -> str:
        """Runs Python in a container that runs; returns what it prints."""
        return self.compose("exec", "-T", service, "python", "-c", code).stdout.strip()
