"""What images are built of: base images by digest, libraries by hash, labels."""

import re
import tomllib
from pathlib import Path

import pytest

from tests.support.environment import PROJECT
from tests.support.machine.hostkit import copied, only_tools, program, run

pytestmark = pytest.mark.integration
DIGEST = f"sha256:{'ab' * 32}"
#: Speaks as Docker does about two images; a variable says what it has of them.
DOCKER = f"""
case "$*" in
"pull --quiet "*) [ -z "$AWAY" ] || {{ echo "no route to host" >&2; exit 1; }} ;;
"image inspect --format "*) [ -n "$MADE_HERE" ] || echo "some/name@{DIGEST}" ;;
*) echo "docker: what is $*?" >&2; exit 64 ;;
esac
"""
#: Requirements, and the lock file that images are built from.
LOCKED = {
    "requirements.txt": "deploy/migrator/requirements.lock",
    "requirements-cluster.txt": "deploy/migrator/requirements-cluster.lock",
    "deploy/server/requirements-server.txt": "deploy/server/requirements-server.lock",
}


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A checkout with the script, tools and a Docker."""
    copied(tmp_path, "pin_images.sh")
    tools = only_tools(tmp_path / "tools", "bash", "env")
    program(tools / "docker", DOCKER)
    return tmp_path


def pin(host: Path, **more: str) -> tuple[int, str]:
    """The script's status, and what it said."""
    done = run([str(host / "deploy" / "pin_images.sh")], host / "tools", **more)
    return done.returncode, done.stdout + done.stderr


def test_base_images_are_pinned_in_env(host: Path) -> None:
    """The tags that it names, or the defaults; nothing else in it changes; again and
    again."""
    env = host / ".env"
    env.write_text("A='b $c'\nPOSTGRES_VERSION=16\n# last\n", "utf-8")
    pinned = f"BASE_IMAGE=debian:bookworm-slim@{DIGEST}\nPOSTGRES_IMAGE=postgres:16@{DIGEST}\n"
    for _ in range(2):
        assert pin(host)[0] == 0
        assert env.read_text("utf-8") == (
            f"A='b $c'\nPOSTGRES_VERSION=16\n# last\n{pinned}"
        )
    assert env.stat().st_mode & 0o077 == 0
    env.write_text("BASE_IMAGE='nas:5000/debian:trixie'\n", "utf-8")
    assert pin(host)[0] == 0
    assert f"BASE_IMAGE=nas:5000/debian:trixie@{DIGEST}\n" in env.read_text("utf-8")


def test_what_cannot_be_pinned_changes_nothing(host: Path) -> None:
    """No .env, no network, an image of one's own: a sentence."""
    assert pin(host) == (
        2,
        "pin_images: there is no .env; make one: cp deploy/.env.example .env\n",
    )
    (host / ".env").write_text("A=b\n", "utf-8")
    for more, said in (
        ({"AWAY": "1"}, "debian:bookworm-slim cannot be pulled; .env is as it was"),
        ({"MADE_HERE": "1"}, "has no digest: it was made here, not pulled"),
    ):
        status, told = pin(host, **more)
        assert (status, said in told) == (1, True), told
        assert [path.name for path in host.glob(".env*")] == [".env"]
        assert (host / ".env").read_text("utf-8") == "A=b\n"


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _required(path: Path) -> set[str]:
    found = set()
    for line in path.read_text("utf-8").splitlines():
        if line.startswith("-r "):
            found |= _required(path.parent / line[3:].split()[0])
        elif name := re.match(r"[A-Za-z0-9][\w.-]*", line):
            found.add(_normal(name[0]))
    return found


@pytest.mark.parametrize("requirements", LOCKED)
def test_every_library_is_locked_by_hash(requirements: str) -> None:
    """deploy/lock.sh wrote it after the requirements had changed; no address is in it."""
    lock = (PROJECT / LOCKED[requirements]).read_text("utf-8")
    entries = re.findall(
        r"^([\w.-]+)==(\S+?)(?: ;[^\\]*)? \\\n((?:    --hash=sha256:[0-9a-f]{64}(?: \\)?\n)+)",
        lock,
        re.MULTILINE,
    )
    pinned = {_normal(name): version for name, version, _hashes in entries}
    left = re.sub(
        r"^( {4}--hash=\S+( \\)?|[\w.-]+==\S+( ;[^\\]*)? \\|#.*|)$",
        "",
        lock,
        flags=re.M,
    )
    assert left.strip() == ""
    assert _required(PROJECT / requirements) <= set(pinned)
    text = (PROJECT / requirements).read_text("utf-8")
    for name, version in re.findall(r"^([\w-]+)==(\S+)", text, re.MULTILINE):
        assert pinned[_normal(name)] == version
    dockerfile = (PROJECT / LOCKED[requirements]).parent / "Dockerfile"
    assert "--require-hashes -r /" in dockerfile.read_text("utf-8")


@pytest.mark.parametrize("image", ["migrator", "server"])
def test_images_say_which_version_they_are(image: str) -> None:
    """That of the project; and its revision, when the build is told."""
    text = (PROJECT / "deploy" / image / "Dockerfile").read_text("utf-8")
    project = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"]
    assert f"ARG VERSION={project['version']}\nARG REVISION=unknown\nLABEL " in text
    for label in ("version", "revision"):
        assert f'org.opencontainers.image.{label}="${{{label.upper()}}}"' in text
