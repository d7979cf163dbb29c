"""deploy/install_docker_compose_simple.sh against a web server on loopback; no Docker
is needed."""

import hashlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.environment import PROJECT
from tests.support.machine.hostkit import (
    NOBODY,
    Web,
    copied,
    nobody,
    only_tools,
    program,
    public_folder,
    run,
    web,
)

pytestmark = pytest.mark.integration
SCRIPT = PROJECT / "deploy" / "install_docker_compose_simple.sh"
#: A plugin that answers as the real one does when it is called by itself.
PLUGIN = b'#!/bin/sh\n[ "$1 $2" = "version --short" ] && echo 2.40.3\n'
RELEASE = "/v2.40.3/docker-compose-linux-x86_64"
ARCHITECTURES = {
    "x86_64": "x86_64",
    "amd64": "x86_64",
    "aarch64": "aarch64",
    "arm64": "aarch64",
    "armv7l": "armv7",
    "armv6l": "armv6",
    "ppc64le": "ppc64le",
    "riscv64": "riscv64",
    "s390x": "s390x",
}


def published(path: str, body: bytes = PLUGIN) -> dict[str, bytes]:
    """A release file and its checksum, as GitHub has them."""
    line = f"{hashlib.sha256(body).hexdigest()} *{path.rpartition('/')[2]}\n"
    return {path: body, f"{path}.sha256": line.encode()}


@dataclass
class Place:
    """Where the script runs: a PATH of its own, a web server, a folder for plugins."""

    tools: Path
    web: Web
    dir: Path

    def install(self, *options: str, **more: str) -> "subprocess.CompletedProcess[str]":
        """Runs the script on a machine that says it is an x86_64."""
        environment = {
            "DOCKER_COMPOSE_URL": self.web.url,
            "DOCKER_COMPOSE_DIR": str(self.dir),
            "MACHINE": "x86_64",
        }
        return run([str(SCRIPT), *options], self.tools, **{**environment, **more})

    @property
    def plugin(self) -> Path:
        """The plugin's file."""
        return self.dir / "docker-compose"

    def untouched(self) -> bool:
        """Is nothing in the folder?"""
        return not self.dir.exists() or list(self.dir.iterdir()) == []


@pytest.fixture
def bare(tmp_path: Path) -> Iterator[Place]:
    """Without a program to download with."""
    with web(published(RELEASE)) as served:
        tools = only_tools(tmp_path / "bin")
        (tools / "uname").unlink()
        program(
            tools / "uname",
            'if [ "$1" = -m ]; then echo "$MACHINE"; else echo "${SYSTEM:-Linux}"; fi',
        )
        yield Place(tools, served, tmp_path / "plugins")


@pytest.fixture
def place(bare: Place) -> Place:
    """With curl."""
    only_tools(bare.tools.parent / "curl", "curl")
    (bare.tools / "curl").symlink_to(bare.tools.parent / "curl" / "curl")
    return bare


@pytest.fixture(params=["curl", "wget"])
def either(bare: Place, request: pytest.FixtureRequest) -> Place:
    """With curl, and with wget."""
    only_tools(bare.tools.parent / "more", request.param)
    (bare.tools / request.param).symlink_to(bare.tools.parent / "more" / request.param)
    return bare


def test_it_is_installed(either: Place) -> None:
    """The published bytes, mode 755, nothing else in the folder; the checksum was asked
    for first."""
    done = either.install()
    assert (done.returncode, done.stderr) == (0, "")
    assert either.plugin.read_bytes() == PLUGIN
    assert either.plugin.stat().st_mode & 0o777 == 0o755
    assert list(either.dir.iterdir()) == [either.plugin]
    assert either.web.asked == [f"{RELEASE}.sha256", RELEASE]
    assert f"Installed {either.plugin}, version 2.40.3" in done.stdout


@pytest.mark.parametrize(("machine", "named"), ARCHITECTURES.items())
def test_every_machine_gets_its_file(place: Place, machine: str, named: str) -> None:
    """By the name that Docker gives it, not the one `uname` does."""
    place.web.files = published(f"/v2.40.3/docker-compose-linux-{named}")
    assert place.install(MACHINE=machine).returncode == 0
    assert place.plugin.read_bytes() == PLUGIN


def test_another_version_system_and_machine(place: Place) -> None:
    """Options win over the environment; a `v` before the version does no harm."""
    place.web.files = published("/v2.39.1/docker-compose-darwin-aarch64")
    options = [
        "--version",
        "v2.39.1",
        "--arch",
        "arm64",
        "--url",
        f"{place.web.url}/",
        "--dir",
        str(place.dir),
    ]
    wrong = {
        "DOCKER_COMPOSE_VERSION": "1.0",
        "DOCKER_COMPOSE_URL": "http://127.0.0.1:9",
        "DOCKER_COMPOSE_DIR": "/x",
    }
    assert place.install(*options, SYSTEM="Darwin", **wrong).returncode == 0
    assert place.plugin.exists()


@pytest.mark.parametrize(
    ("machine", "system"), [("i686", "Linux"), ("x86_64", "SunOS")]
)
def test_a_machine_for_which_nothing_is_published(
    place: Place, machine: str, system: str
) -> None:
    """Named, before anything is asked or made."""
    done = place.install(MACHINE=machine, SYSTEM=system)
    assert done.returncode == 1
    assert "Docker publishes no plugin for" in done.stderr
    assert (machine if machine == "i686" else system) in done.stderr
    assert place.web.asked == []
    assert not place.dir.exists()


def test_a_wrong_checksum(either: Place) -> None:
    """Both sums are named; an older plugin stays as it was."""
    older = program(either.plugin, "exit 1").read_bytes()
    either.web.files[RELEASE] = PLUGIN + b"# and more\n"
    done = either.install()
    assert done.returncode == 1
    assert hashlib.sha256(PLUGIN).hexdigest() in done.stderr
    assert hashlib.sha256(PLUGIN + b"# and more\n").hexdigest() in done.stderr
    assert [path.read_bytes() for path in either.dir.iterdir()] == [older]


@pytest.mark.parametrize("text", [b"", b"<html>sign in</html>", b"abc *x\n", b"z" * 64])
def test_a_checksum_file_that_holds_none(place: Place, text: bytes) -> None:
    """Nothing is believed."""
    place.web.files[f"{RELEASE}.sha256"] = text
    done = place.install()
    assert (done.returncode, "holds no SHA-256 checksum" in done.stderr) == (1, True)
    assert place.untouched()


def test_half_a_download(either: Place) -> None:
    """The connection breaks off."""
    either.web.halved.add(RELEASE)
    done = either.install()
    assert (
        done.returncode,
        f"cannot download {either.web.url}{RELEASE}: " in done.stderr,
    ) == (1, True)
    assert either.untouched()


def test_a_server_that_says_nothing(either: Place) -> None:
    """Given up after a time."""
    either.web.dumb.add(RELEASE)
    done = either.install(DOCKER_COMPOSE_STALL_SECONDS="1")
    assert (
        done.returncode,
        f"cannot download {either.web.url}{RELEASE}: " in done.stderr,
    ) == (1, True)
    assert either.untouched()


def test_a_version_that_does_not_exist(either: Place) -> None:
    """404: the address and what may be wrong."""
    done = either.install("--version", "9.9.9")
    assert done.returncode == 1
    assert (
        "docker-compose-linux-x86_64.sha256 (404): is version 9.9.9 right"
        in done.stderr
    )
    assert either.untouched()


def test_a_server_that_cannot_be_reached(place: Place) -> None:
    """Whose words are those of curl."""
    done = place.install("--url", "http://127.0.0.1:9")
    assert (
        done.returncode,
        "cannot download http://127.0.0.1:9/v2.40.3/" in done.stderr,
    ) == (1, True)


def test_a_program_of_another_machine(place: Place) -> None:
    """The checksum is right, but it does not run here: it does not get into place."""
    place.web.files = published(RELEASE, b"\x7fELF\x02\x01\x01 for something else")
    done = place.install()
    assert (done.returncode, "does not run on this machine" in done.stderr) == (1, True)
    assert place.untouched()


def test_one_that_works_is_not_replaced_unless_forced(place: Place) -> None:
    """Found in the folder itself, without Docker."""
    older = program(place.plugin, "echo 2.20.0").read_bytes()
    done = place.install()
    assert (
        done.returncode,
        "is there already, version 2.20.0; nothing was done" in done.stderr,
    ) == (3, True)
    assert place.plugin.read_bytes() == older
    assert place.web.asked == []
    assert place.install("--force").returncode == 0
    assert place.plugin.read_bytes() == PLUGIN


def test_one_that_docker_knows_is_not_doubled(place: Place) -> None:
    """Wherever it lies; forced, it is said that the other one still comes first."""
    program(
        place.tools / "docker", '[ "$*" = "compose version --short" ] && echo v2.20.0'
    )
    done = place.install()
    assert (
        done.returncode,
        "`docker compose` is there already, version 2.20.0" in done.stderr,
    ) == (3, True)
    assert place.untouched()
    done = place.install("--force")
    assert (
        done.returncode,
        "`docker compose` is version 2.20.0 all the same" in done.stdout,
    ) == (0, True)


def test_a_broken_one_is_replaced(place: Place) -> None:
    """Nobody needs to force that."""
    program(place.plugin, "exit 1")
    assert place.install().returncode == 0
    assert place.plugin.read_bytes() == PLUGIN


def test_a_dry_run(place: Place) -> None:
    """Says from where to where; asks and writes nothing."""
    done = place.install("--dry-run")
    assert done.returncode == 0
    assert f"{place.web.url}{RELEASE}\n" in done.stdout
    assert str(place.plugin) in done.stdout
    assert place.web.asked == []
    assert not place.dir.exists()


def test_without_curl_and_wget(bare: Place) -> None:
    """Says what to install."""
    done = bare.install()
    assert (done.returncode, "neither curl nor wget is installed" in done.stderr) == (
        1,
        True,
    )
    assert bare.untouched()


@pytest.mark.parametrize(
    "options",
    [
        ["--version"],
        ["--version", "../x"],
        ["--url", "ftp://x"],
        ["--please"],
        ["more"],
    ],
    ids=" ".join,
)
def test_wrong_usage(place: Place, options: list[str]) -> None:
    """2, and what is wrong."""
    done = place.install(*options)
    assert (
        done.returncode,
        options[0] in done.stderr or options[-1] in done.stderr,
    ) == (2, True)


def test_the_help() -> None:
    """Names every option and every status."""
    done = subprocess.run(
        [SCRIPT, "--help"], capture_output=True, text=True, timeout=60, check=True
    )
    for word in (
        "--version",
        "--dir",
        "--arch",
        "--url",
        "--force",
        "--dry-run",
        "2.40.3",
        "exit status",
    ):
        assert word in done.stdout


def test_as_an_ordinary_user(place: Place) -> None:
    """Into ~/.docker/cli-plugins; a folder of root's is refused with the way out."""
    with public_folder() as folder:
        copied(folder, SCRIPT.name)
        home = folder / "home"
        home.mkdir()
        # Links of pytest's own folder cannot be followed by another user.
        place.tools.rename(folder / "bin")
        (folder / "bin" / "curl").unlink()
        only_tools(folder / "curl", "curl")
        (folder / "bin" / "curl").symlink_to(folder / "curl" / "curl")
        (folder / "rooted").mkdir(mode=0o555)
        if os.geteuid() == 0:
            os.chown(home, NOBODY, NOBODY)
        command = nobody([str(folder / "deploy" / SCRIPT.name), "--url", place.web.url])
        more = {"HOME": str(home), "MACHINE": "x86_64"}
        assert run(command, folder / "bin", **more).returncode == 0
        assert (
            home / ".docker" / "cli-plugins" / "docker-compose"
        ).read_bytes() == PLUGIN
        done = run(
            [*command, "--force", "--dir", str(folder / "rooted" / "plugins")],
            folder / "bin",
            **more,
        )
        assert (
            done.returncode,
            "run it as root, or name another folder" in done.stderr,
        ) == (1, True)
