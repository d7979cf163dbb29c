"""deploy/verify_docker_compose.sh with a program that speaks as Docker does, real
ports, folders and disks."""

import json
import os
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from tests.support.environment import PROJECT
from tests.support.machine.hostkit import (
    copied,
    nobody,
    only_tools,
    program,
    public_folder,
    run,
)

pytestmark = pytest.mark.integration
SCRIPT = PROJECT / "deploy" / "verify_docker_compose.sh"
#: Answers what the script asks, and nothing else; each answer can be changed by a
#: variable.
DOCKER = r"""
case "$*" in
"info --format {{.ServerVersion}}")
    [ -z "$NO_ENGINE" ] || { echo "$NO_ENGINE" >&2; exit 1; }
    echo 28.2.2 ;;
"info --format {{.DockerRootDir}}") echo "$ROOT" ;;
"buildx version")
    echo "github.com/docker/buildx ${BUILDX-v0.30.1} 9e66234" && [ -n "${BUILDX-x}" ] ;;
"compose version --short") [ -z "$NO_PLUGIN" ] || exit 1; echo "${PLUGIN:-2.40.3}" ;;
"compose --file $FILE --profile * config --quiet")
    [ -z "$NO_CONFIG" ] || { echo "$NO_CONFIG" >&2; exit 15; } ;;
"compose --file $FILE --profile * config") cat "$FILE" ;;
"ps --filter publish=$HELD --format "*) printf '%s\n' "$HOLDER" ;;
"ps --filter publish="*) ;;
*) echo "docker: what is $*?" >&2; exit 64 ;;
esac
"""
LINE = re.compile(r"(ok|warning|FAILED) +([a-z ]+?(?: \d+)?): (.+)")


@dataclass
class Host:
    """A machine as the script sees it."""

    folder: Path
    tools: Path
    more: dict[str, str] = field(default_factory=dict)

    @property
    def file(self) -> Path:
        """The Compose file."""
        return self.folder / "docker-compose.yml"

    @property
    def root(self) -> Path:
        """The engine's data root."""
        return self.folder / "data-root"

    def verify(self, *options: str) -> "subprocess.CompletedProcess[str]":
        """Runs the script."""
        environment = {
            "FILE": str(self.file),
            "ROOT": str(self.root),
            "VERIFY_COMPOSE_FILE": str(self.file),
            "DOCKER_DEFAULT_ROOT": str(self.root),
            "DOCKER_DAEMON_JSON": str(self.folder / "daemon.json"),
            "VERIFY_MIN_ROOT_GB": "1",
            "VERIFY_MIN_STATE_GB": "1",
            "STATE_DIR": str(self.folder / "state"),
        }
        return run([str(SCRIPT), *options], self.tools, **{**environment, **self.more})

    def says(self, *options: str) -> dict[str, tuple[str, str]]:
        """What it says by what it is about; the exit status must agree with it."""
        done = self.verify(*options)
        lines = [LINE.fullmatch(line) for line in done.stdout.splitlines()]
        assert all(lines), done.stdout + done.stderr
        found = [(match[2], match[1], match[3]) for match in lines if match]
        assert done.returncode == any(
            word == "FAILED" for _what, word, _text in found
        ), done.stdout
        return {what: (word, text) for what, word, text in found}


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """One on which everything is as it should be."""
    made = Host(tmp_path, only_tools(tmp_path / "bin"))
    program(made.tools / "docker", DOCKER)
    made.file.write_text("services:\n  db:\n    ports:\n      - target: 5432\n")
    made.root.mkdir()
    return made


@pytest.fixture
def port() -> Iterator[int]:
    """A port on which a program of this process listens."""
    with closing(socket.socket()) as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        yield int(server.getsockname()[1])


@pytest.fixture
def free_port(port: int) -> int:
    """One on which nobody does."""
    with closing(socket.socket()) as server:
        server.bind(("127.0.0.1", 0))
        return int(server.getsockname()[1])


def test_all_is_well(host: Host, free_port: int) -> None:
    """Every check, by its name."""
    host.file.write_text(host.file.read_text() + f'        published: "{free_port}"\n')
    found = host.says()
    assert {word for word, _text in found.values()} == {"ok"}
    wanted = {
        "engine",
        "plugin",
        "buildx",
        "config",
        f"port {free_port}",
        "data root",
        "leftovers",
        "space",
    }
    assert set(found) == wanted
    assert found["engine"] == ("ok", "Docker 28.2.2 answers")


@pytest.mark.parametrize(
    ("said", "way_out"),
    [
        (
            "permission denied while trying to connect to the Docker daemon socket",
            "usermod -aG docker",
        ),
        (
            "Cannot connect to the Docker daemon at unix:///var/run/docker.sock",
            "systemctl start docker",
        ),
    ],
)
def test_an_engine_that_does_not_answer(host: Host, said: str, way_out: str) -> None:
    """What depends on it is a warning, not a second failure."""
    host.more["NO_ENGINE"] = said
    found = host.says()
    assert found["engine"][0] == "FAILED"
    assert way_out in found["engine"][1]
    assert found["data root"] == ("warning", "not known without the engine")
    assert {what for what, (word, _text) in found.items() if word == "FAILED"} == {
        "engine"
    }


def test_no_docker_at_all(host: Host) -> None:
    """Engine and plugin fail, the rest says what it can."""
    (host.tools / "docker").unlink()
    found = host.says()
    assert "install it" in found["engine"][1]
    assert {what for what, (word, _text) in found.items() if word == "FAILED"} == {
        "engine",
        "plugin",
        "buildx",
    }


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"NO_PLUGIN": "1"}, "`docker compose` does not work"),
        ({"PLUGIN": "1.29.2"}, "Compose 1.29.2 is too old"),
        ({"PLUGIN": "dev"}, "says 'dev', which is no version"),
    ],
)
def test_a_plugin_that_is_missing_or_old(
    host: Host, more: dict[str, str], text: str
) -> None:
    """The installer is named."""
    host.more |= more
    word, said = host.says()["plugin"]
    assert (word, text in said, "install_docker_compose_simple.sh" in said) == (
        "FAILED",
        True,
        True,
    )


@pytest.mark.parametrize("version", ["v2.40.3", "2.26.1-4", "5.0.1"])
def test_a_plugin_that_will_do(host: Host, version: str) -> None:
    """Debian's and newer ones too."""
    host.more["PLUGIN"] = version
    assert host.says()["plugin"] == ("ok", f"Compose {version.removeprefix('v')}")


def test_the_old_program_beside_it(host: Host) -> None:
    """A warning, because it fails with Python 3.12."""
    program(host.tools / "docker-compose", "echo 1.29.2")
    assert "docker-compose 1.29.2 is of the old kind" in host.verify().stdout


@pytest.mark.parametrize(
    ("said", "why"),
    [
        (
            "ModuleNotFoundError: No module named 'distutils'",
            "it is of the old kind, which does not run on Python 3.12 (distutils)",
        ),
        ("no such luck", "no such luck"),
        ("", "it says nothing"),
    ],
)
def test_the_old_program_is_broken(host: Host, said: str, why: str) -> None:
    """It says so only on its standard error, with a status."""
    program(host.tools / "docker-compose", f'echo "{said}" >&2; exit 1')
    assert f"docker-compose is broken: {why}; remove it" in host.verify().stdout


#: buildx, Compose, what is said of them.
BUILDX = [
    ("v0.17.0", "2.40.3", "ok", "0.17.0"),
    ("0.30.1-desktop.1", "5.0.0", "ok", "0.30.1-desktop.1"),
    ("v1.0.0", "2.40.3", "ok", "1.0.0"),
    ("0.13.1+ds1", "2.40.3", "FAILED", "0.13.1+ds1; Compose 2.40.3 builds images only"),
    ("0.13.1+ds1", "5.0.0", "FAILED", "Compose 5.0.0 builds images only with 0.17"),
    ("", "2.40.2", "FAILED", "`docker buildx` does not work; Compose 2.40.2 builds"),
    ("0.13.1+ds1", "2.40.1", "warning", "0.13.1+ds1; Compose 2.40.1 does without"),
    ("", "2.26.1-4", "warning", "not there; Compose 2.26.1-4 does without"),
]


@pytest.mark.parametrize(("buildx", "plugin", "word", "said"), BUILDX)
def test_buildx(host: Host, buildx: str, plugin: str, word: str, said: str) -> None:
    """Debian 13's is too old for the Compose that our installer puts beside it."""
    host.more |= {"BUILDX": buildx, "PLUGIN": plugin}
    found = host.says()["buildx"]
    assert found[0] == word
    assert said in found[1]
    assert word == "ok" or "install_docker_compose_simple.sh" in found[1]


def test_a_file_that_is_not_valid(host: Host) -> None:
    """Compose's own words, and where the settings are."""
    host.more["NO_CONFIG"] = "validating docker-compose.yml: volumes must be a mapping"
    (host.folder / ".env").write_text("A=1\n")
    word, said = host.says()["config"]
    assert word == "FAILED"
    assert said.startswith("validating docker-compose.yml: volumes must be a mapping")
    assert f"{host.folder}/.env" in said


def test_settings_that_are_missing(host: Host) -> None:
    """All of them, by name; those that .env or the environment gives are not among
    them."""
    host.file.write_text(
        "${A_LIBRARY:?set it} ${B_SECRET:?x}\n# "
        "${NOT_THIS:?y}\n${C_GIVEN:?z}\n${D_FILE?z} ${E:-e}\n"
    )
    host.more |= {
        "NO_CONFIG": "required variable A_LIBRARY is missing a value: set it",
        "C_GIVEN": "1",
    }
    word, said = host.says()["config"]
    assert word == "FAILED"
    assert "; without a value: A_LIBRARY B_SECRET D_FILE; there is no " in said
    assert "cp deploy/.env.example .env" in said
    (host.folder / ".env").write_text("D_FILE=x\nA_LIBRARY=\n")
    assert (
        "; without a value: A_LIBRARY B_SECRET (settings are in"
        in host.says()["config"][1]
    )


def test_no_file(host: Host) -> None:
    """Says how another one is named."""
    host.file.unlink()
    assert host.says()["config"] == (
        "FAILED",
        f"there is no {host.file}; name yours: --file FILE",
    )


def test_a_port_that_is_taken(host: Host, port: int, free_port: int) -> None:
    """By a real program; the other one is free."""
    found = host.says("--port", str(port), "--port", str(free_port))
    assert found[f"port {free_port}"] == ("ok", "free")
    word, said = found[f"port {port}"]
    assert (
        word,
        "held by another program" in said,
        "publish another port in .env" in said,
    ) == ("FAILED", True, True)


def test_a_port_that_the_file_publishes_is_taken(host: Host, port: int) -> None:
    """It need not be named."""
    host.file.write_text(
        f'services:\n  a:\n    ports:\n      - published: "1"\n        published: "{port}"\n'
    )
    assert host.says()[f"port {port}"][0] == "FAILED"


def test_the_ports_of_a_file_that_lacks_a_setting(host: Host, port: int) -> None:
    """Compose cannot tell them then; the file can."""
    host.file.write_text(
        f'x:\n  - "127.0.0.1:${{OUR_PORT_ON_HOST:-{port}}}:6006"\n  - "x:${{NO:-y}}"\n'
    )
    host.more["NO_CONFIG"] = "required variable A is missing a value"
    found = host.says()
    assert found[f"port {port}"][0] == "FAILED"
    assert [what for what in found if what.startswith("port ")] == [f"port {port}"]


def test_the_ports_are_ours(host: Host) -> None:
    """Those of docker-compose.yml in the checkout, and no others."""
    ours = (PROJECT / "docker-compose.yml").read_text("utf-8")
    host.file.write_text(ours)
    host.more["NO_CONFIG"] = "required variable CALIBRE_LIBRARY is missing a value"
    shown = {
        int(what.removeprefix("port "))
        for line in host.verify().stdout.splitlines()
        if (what := line.split(maxsplit=1)[1].partition(":")[0]).startswith("port ")
    }
    assert shown == {
        int(number) for number in re.findall(r"_ON_HOST:-(\d+)\}:\d+", ours)
    }
    assert shown == {6006, 8080, 8765}


def test_the_program_that_holds_a_port_is_named(host: Host, port: int) -> None:
    """Where `ss` is installed."""
    only_tools(host.folder / "more", "ss")
    (host.tools / "ss").symlink_to(host.folder / "more" / "ss")
    assert f"(pid {os.getpid()})" in host.says("--port", str(port))[f"port {port}"][1]


def test_a_port_of_our_own_container(host: Host, port: int) -> None:
    """That is as it should be; of somebody else's container it is not."""
    host.more |= {"HELD": str(port), "HOLDER": f"calibre-migration-db-1 {host.folder}"}
    assert host.says("--port", str(port))[f"port {port}"] == (
        "ok",
        "held by our own container calibre-migration-db-1",
    )
    host.more["HOLDER"] = "other-db-1 /srv/other"
    word, said = host.says("--port", str(port))[f"port {port}"]
    assert (word, "docker stop other-db-1" in said) == ("FAILED", True)


def test_daemon_json_and_the_engine_disagree(host: Host) -> None:
    """After the next restart every volume would seem to be gone."""
    (host.folder / "daemon.json").write_text(
        json.dumps({"log-level": "info", "data-root": "/srv/docker"}, indent=1)
    )
    word, said = host.says()["data root"]
    assert (word, f"uses {host.root}, but" in said, "says /srv/docker" in said) == (
        "FAILED",
        True,
        True,
    )


def test_daemon_json_and_the_engine_agree(host: Host) -> None:
    """Also through a symbolic link."""
    (host.folder / "link").symlink_to(host.root)
    (host.folder / "daemon.json").write_text(
        json.dumps({"data-root": str(host.folder / "link")})
    )
    assert host.says()["data root"] == ("ok", str(host.root))


def test_a_data_root_that_nothing_names(host: Host) -> None:
    """On the command line of dockerd, or a change that waits for a restart: a
    warning."""
    host.more["DOCKER_DEFAULT_ROOT"] = "/var/lib/docker-of-old"
    word, said = host.says()["data root"]
    assert (word, "the next restart uses /var/lib/docker-of-old" in said) == (
        "warning",
        True,
    )


def test_leftovers_of_an_older_data_root(host: Host) -> None:
    """Found at the default place, in a copy of daemon.json, and where one is told to
    look; with their size."""
    roots = [host.folder / name for name in ("default", "configured", "told")]
    for root in roots:
        (root / "overlay2").mkdir(parents=True)
        (root / "overlay2" / "layer").write_bytes(b"x" * 3_000_000)
    (host.folder / "elsewhere").mkdir()
    (host.folder / "daemon.json").write_text(json.dumps({"data-root": str(host.root)}))
    (host.folder / "daemon.json.bak").write_text(json.dumps({"graph": str(roots[1])}))
    host.more["DOCKER_DEFAULT_ROOT"] = str(roots[0])
    done = host.verify(
        "--old-root", str(roots[2]), "--old-root", str(host.folder / "elsewhere")
    )
    found = re.findall(
        r"^warning  leftovers: (\S+) holds data of another Docker, (\S+), which",
        done.stdout,
        re.M,
    )
    assert sorted(path for path, _size in found) == sorted(map(str, roots))
    assert {size for _path, size in found} <= {"2.9M", "3.0M", "3.1M"}
    assert "rm -rf" in done.stdout
    assert all((root / "overlay2" / "layer").exists() for root in roots)


def test_too_little_space(host: Host) -> None:
    """On the data root, and where the state will be, which need not exist yet."""
    done = host.verify("--min-root", "99999", "--min-state", "99999")
    found = re.findall(
        r"^FAILED   space: \d+ GB free for (.+?) \((\S+)\), 99999 are wanted",
        done.stdout,
        re.M,
    )
    assert found == [
        ("the data root", str(host.root)),
        ("the state", str(host.folder / "state")),
    ]
    assert done.returncode == 1


def test_a_data_root_on_another_machine(host: Host) -> None:
    """Docker Desktop: cannot be measured, which is no failure."""
    host.root.rmdir()
    assert (
        f"warning  space: {host.root} is not on this machine (Docker Desktop"
        in host.verify().stdout
    )


@pytest.mark.parametrize(
    "options",
    [
        ["--port", "x"],
        ["--port", "70000"],
        ["--min-root", "0"],
        ["--file"],
        ["--please"],
    ],
    ids=" ".join,
)
def test_wrong_usage(host: Host, options: list[str]) -> None:
    """2; nothing is checked."""
    done = host.verify(*options)
    assert (done.returncode, done.stdout, options[0] in done.stderr) == (2, "", True)


def test_the_help() -> None:
    """Names every option and every status."""
    done = subprocess.run(
        [SCRIPT, "--help"], capture_output=True, text=True, timeout=60, check=True
    )
    for word in (
        "--file",
        "--port",
        "--old-root",
        "--min-root",
        "--min-state",
        "STATE_DIR",
        "exit status",
    ):
        assert word in done.stdout


def test_as_an_ordinary_user(free_port: int) -> None:
    """Everything works; a data root that only root may look into is a warning."""
    with public_folder() as folder:
        copied(folder, SCRIPT.name)
        tools = only_tools(folder / "bin")
        program(tools / "docker", DOCKER)
        file = folder / "docker-compose.yml"
        file.write_text("services: {}\n")
        (folder / "root").mkdir()
        (folder / "old").mkdir(mode=0o700 if os.geteuid() == 0 else 0)
        more = {
            "FILE": str(file),
            "ROOT": str(folder / "root"),
            "DOCKER_DEFAULT_ROOT": str(folder / "root"),
        }
        command = nobody(
            [
                str(folder / "deploy" / SCRIPT.name),
                "--port",
                str(free_port),
                "--old-root",
                str(folder / "old"),
                "--min-root",
                "1",
            ]
        )
        done = run(command, tools, **more)
        assert f"ok       config: {file} is valid" in done.stdout
        assert f"ok       port {free_port}: free" in done.stdout
        assert (
            f"warning  leftovers: {folder / 'old'} cannot be looked into; run this as root"
            in done.stdout
        )
