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
BUILDX = b'#!/bin/sh\n[ "$1" = version ] && echo github.com/docker/buildx v0.30.1 abc\n'
BUILDX_RELEASE = "/v0.30.1/buildx-v0.30.1.linux-amd64"
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


def sha256(body: bytes) -> str:
    """As the script is given it."""
    return hashlib.sha256(body).hexdigest()


def published(path: str, body: bytes = PLUGIN) -> dict[str, bytes]:
    """A release file, and buildx."""
    return {path: body, BUILDX_RELEASE: BUILDX}


@dataclass
class Place:
    """Where the script runs: a PATH of its own, a web server, a folder for plugins."""

    tools: Path
    web: Web
    dir: Path

    def install_both(
        self, *options: str, **more: str
    ) -> "subprocess.CompletedProcess[str]":
        """Runs the script on a machine that says it is an x86_64."""
        environment = {
            "DOCKER_COMPOSE_URL": self.web.url,
            "DOCKER_COMPOSE_SHA256": sha256(PLUGIN),
            "DOCKER_BUILDX_URL": self.web.url,
            "DOCKER_BUILDX_SHA256": sha256(BUILDX),
            "DOCKER_COMPOSE_DIR": str(self.dir),
            "MACHINE": "x86_64",
        }
        return run([str(SCRIPT), *options], self.tools, **{**environment, **more})

    def install(self, *options: str, **more: str) -> "subprocess.CompletedProcess[str]":
        """The same without buildx."""
        return self.install_both(*options, "--without-buildx", **more)

    @property
    def plugin(self) -> Path:
        """The plugin's file."""
        return self.dir / "docker-compose"

    @property
    def buildx(self) -> Path:
        """The other plugin's."""
        return self.dir / "docker-buildx"

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
    """The published bytes, mode 755, nothing else in the folder; the server is not asked
    for a checksum."""
    done = either.install()
    assert (done.returncode, done.stderr) == (0, "")
    assert either.plugin.read_bytes() == PLUGIN
    assert either.plugin.stat().st_mode & 0o777 == 0o755
    assert list(either.dir.iterdir()) == [either.plugin]
    assert either.web.asked == [RELEASE]
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
    assert sha256(PLUGIN) in done.stderr
    assert sha256(PLUGIN + b"# and more\n") in done.stderr
    assert [path.read_bytes() for path in either.dir.iterdir()] == [older]


def test_a_server_that_vouches_for_itself(place: Place) -> None:
    """The program and the checksum beside it were both replaced: it is the script's that
    counts."""
    other = PLUGIN + b"# and more\n"
    place.web.files[RELEASE] = other
    place.web.files[f"{RELEASE}.sha256"] = f"{sha256(other)} *x\n".encode()
    done = place.install(DOCKER_COMPOSE_SHA256="")
    pinned = "dba9d98e1ba5bfe11d88c99b9bd32fc4a0624a30fafe68eea34d61a3e42fd372"
    assert (done.returncode, f"instead of {pinned}" in done.stderr) == (1, True)
    assert place.untouched()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--version", "2.39.1"], "no checksum of compose 2.39.1 for linux-x86_64"),
        (["--arch", "riscv64", "--version", "2.40"], "of compose 2.40 for linux-risc"),
        (["--sha256", "abc"], "--sha256 'abc' is no SHA-256 checksum"),
        (["--sha256", "z" * 64], "is no SHA-256 checksum"),
    ],
    ids=["version", "machine", "short", "no digits"],
)
def test_without_a_checksum_nothing_is_downloaded(
    place: Place, options: list[str], said: str
) -> None:
    """Of a version that the script does not know, a person has to give it."""
    done = place.install(*options, DOCKER_COMPOSE_SHA256="")
    assert (done.returncode, said in done.stderr) == (2, True), done.stderr
    assert place.web.asked == []
    assert not place.dir.exists()


def test_the_checksums_in_the_script(place: Place) -> None:
    """One for every machine, of the versions that are installed by default."""
    rows = [line.split() for line in place.install_both("--pins").stdout.splitlines()]
    assert all(len(row) == 4 and len(row[3]) == 64 for row in rows)
    assert len({row[3] for row in rows}) == len(rows)
    assert {
        row[2] for row in rows if row[:2] == ["compose", "2.40.3"] and row[2][0] == "l"
    } == {f"linux-{name}" for name in set(ARCHITECTURES.values())}
    for machine in set(ARCHITECTURES.values()):
        done = place.install_both(
            "--dry-run",
            MACHINE=machine,
            DOCKER_COMPOSE_SHA256="",
            DOCKER_BUILDX_SHA256="",
        )
        assert done.returncode == 0, done.stderr


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
    assert "docker-compose-linux-x86_64 (404): is version 9.9.9 right" in done.stderr
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
    other = b"\x7fELF\x02\x01\x01 for something else"
    place.web.files = published(RELEASE, other)
    done = place.install("--sha256", sha256(other))
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


#: What buildx says of itself, and whether this Compose can build with it.
VERSIONS = {
    "github.com/docker/buildx v0.17.0 abc": True,
    "github.com/docker/buildx 0.30.1-desktop.1 abc": True,
    "github.com/docker/buildx v1.0.0 abc": True,
    "github.com/docker/buildx 0.13.1+ds1 0.13.1+ds1-3": False,
    "github.com/docker/buildx v0.9.1 abc": False,
    "no idea": False,
}


def test_buildx_comes_along(either: Place) -> None:
    """Both, each compared with its own checksum."""
    done = either.install_both()
    assert (done.returncode, done.stderr) == (0, "")
    assert (either.plugin.read_bytes(), either.buildx.read_bytes()) == (PLUGIN, BUILDX)
    assert either.buildx.stat().st_mode & 0o777 == 0o755
    assert len(list(either.dir.iterdir())) == 2
    assert either.web.asked == [RELEASE, BUILDX_RELEASE]
    assert f"Installed {either.buildx}, version 0.30.1" in done.stdout


@pytest.mark.parametrize("said", VERSIONS)
def test_a_buildx_that_is_too_old_is_replaced(place: Place, said: str) -> None:
    """Below 0.17 Compose refuses to build; one that will do is left alone."""
    program(place.plugin, "echo 2.20.0")
    older = program(place.buildx, f'echo "{said}"').read_bytes()
    done = place.install_both()
    if VERSIONS[said]:
        assert (done.returncode, "nothing was done" in done.stderr) == (3, True)
        assert place.buildx.read_bytes() == older
    else:
        assert (done.returncode, place.buildx.read_bytes()) == (0, BUILDX)
        assert "docker-compose is there already, version 2.20.0" in done.stdout
    assert place.plugin.read_bytes() != PLUGIN


def test_a_wrong_buildx_is_not_installed(place: Place) -> None:
    """Compose is in place by then; the status says that something is missing."""
    place.web.files[BUILDX_RELEASE] = BUILDX + b"# and more\n"
    done = place.install_both()
    assert (done.returncode, "buildx was not installed" in done.stderr) == (1, True)
    assert list(place.dir.iterdir()) == [place.plugin]


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
        ["--buildx-version", "latest!"],
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
        "--sha256",
        "--buildx-version",
        "--without-buildx",
        "--pins",
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
        script = str(folder / "deploy" / SCRIPT.name)
        command = nobody([script, "--url", place.web.url, "--sha256", sha256(PLUGIN)])
        command.append("--without-buildx")
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
