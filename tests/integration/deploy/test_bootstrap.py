"""The first start: what ./start.sh finds on a machine, and what it says of it.

Python and pip are stand-ins, but for one test with the real ones.
"""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.environment import PROJECT, clean_environment
from tests.support.machine.hostkit import nobody, only_tools, program, public_folder
from tests.support.migration.workerkit import wait_for

pytestmark = pytest.mark.integration

#: A Python whose answers the environment says. It makes its virtual environment with
#: itself in it, and prints what it is started with.
PYTHON = r"""
case "$*" in
    *version_info\ \<*) exit "${OLD:-0}" ;;
    *%d.%d*) echo "${VERSION:-3.12}" ;;
    --version) echo "Python ${VERSION:-3.12}.4" ;;
    *import\ venv*) exit "${NO_VENV:-0}" ;;
    "-m venv .venv")
        mkdir -p .venv/bin ".venv/lib/python${VERSION:-3.12}/site-packages/pip"
        cp "$0" .venv/bin/python
        echo "command = python3 -m venv $(pwd -P)/.venv" >.venv/pyvenv.cfg
        echo made >>made ;;
    "-m pip"*) echo "$*" >>installed; printf '%s\n' "${PIP_SAYS:-}"; ${PIP_DOES:-true} ;;
    *) echo "CALLED_FROM=$CALLED_FROM $*"
       if [ -n "${SHOW_MASK:-}" ]; then
           while read -r line; do case $line in SigBlk*) echo "$line" ;; esac; done </proc/$$/status
       fi ;;
esac
"""
SYSTEMS = {
    "debian 12": "ID=debian\nVERSION_ID=12\n",
    "debian 11": "ID=debian\nVERSION_ID=11\n",
    "ubuntu 24.04": "ID=ubuntu\nVERSION_ID=24.04\n",
    "ubuntu 22.04": "ID=ubuntu\nVERSION_ID=22.04\n",
    "ubuntu 20.04": "ID=ubuntu\nVERSION_ID=20.04\n",
    "fedora 40": "ID=fedora\nVERSION_ID=40\n",
    "another": "ID=slackware\n",
}
#: By system: how Python is installed there, and how the module venv is.
ADVICE = {
    "debian 12": ("sudo apt install python3 python3-venv", "python3.12-venv"),
    "debian 11": ("upgrade to Debian 12", "python3.12-venv"),
    "ubuntu 24.04": ("sudo apt install python3 python3-venv", "python3.12-venv"),
    "ubuntu 22.04": ("sudo apt install python3.11 python3.11-venv", "python3.12-venv"),
    "ubuntu 20.04": ("upgrade to 24.04", "python3.12-venv"),
    "fedora 40": ("sudo dnf install python3", "sudo dnf install python3-libs"),
    "macos": ("brew install python@3.12", "brew reinstall python@3.12"),
    "another": ("PYTHON=/path/to/python3.12", "it is part of Python"),
}
#: What pip says, with the status of the start and what it says.
REFUSALS = {
    "no network": (
        "Failed to establish a new connection: [Errno 101] Network is unreachable')\n"
        "ERROR: No matching distribution found for rich",
        3,
        "Network is unreachable. Connect this machine to the network",
    ),
    "no name": (
        "NewConnectionError: [Errno -3] Temporary failure in name resolution')",
        3,
        "Temporary failure in name resolution. Connect this machine to the network",
    ),
    "a proxy that is away": (
        "ProxyError('Cannot connect to proxy.', NewConnectionError('[Errno 111] "
        "Connection refused'))",
        3,
        "look at https_proxy",
    ),
    "a certificate of one's own": (
        "SSLError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed: "
        "unable to get local issuer certificate (_ssl.c:992)')",
        3,
        "export PIP_CERT=",
    ),
    "an index without them": (
        "ERROR: Could not find a version that satisfies the requirement rich (from "
        "versions: none)",
        3,
        "or cannot be reached: look at PIP_INDEX_URL",
    ),
    "no room": ("OSError: [Errno 28] No space left on device", 5, "Make room"),
    "something else": ("ERROR: nonsense", 2, "install.log has all of it"),
}


class Checkout:
    """What a start needs of one, at a place with a blank in its path."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "the checkout"
        (self.root / "deploy").mkdir(parents=True)
        for name in ("start.sh", "stop.sh", "deploy/bootstrap.sh"):
            shutil.copy(PROJECT / name, self.root / name)
        for name in ("requirements.txt", "requirements-cluster.txt"):
            (self.root / name).write_text("rich\n")
        self.tools = only_tools(
            folder / "bin",
            "bash",
            "basename",
            "cksum",
            "cp",
            "find",
            "ls",
            "ps",
            "readlink",
        )
        self.python = program(self.tools / "python3.12", PYTHON)

    def environment(self, **more: str) -> dict[str, str]:
        return clean_environment(PATH=str(self.tools), **more)

    def press(
        self, *command: str, folder: Path | None = None, **more: str
    ) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            command or (str(self.root / "start.sh"),),
            cwd=folder or self.root,
            env={**self.environment(), **more},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def times(self, what: str) -> int:
        """How often a virtual environment was made, packages were installed."""
        path = self.root / what
        return len(path.read_text().splitlines()) if path.exists() else 0


@pytest.fixture
def checkout() -> Iterator[Checkout]:
    """One that any user can look into."""
    with public_folder() as folder:
        yield Checkout(folder)


def test_the_second_start_makes_nothing(checkout: Checkout) -> None:
    """And both begin, in the folder they were called from."""
    for _ in range(2):
        done = checkout.press(str(checkout.root / "start.sh"), "a b", folder=Path("/"))
        assert done.returncode == 0, done.stderr
        assert done.stdout == "CALLED_FROM=/ -S -P deploy/begin.py a b\n"
    assert (checkout.times("made"), checkout.times("installed")) == (1, 1)


def test_by_a_link_from_elsewhere(checkout: Checkout) -> None:
    """The checkout is that of the file, not of the link, whatever CDPATH says."""
    home = checkout.root.parent / "home"
    (home / "the checkout").mkdir(parents=True)
    (home / "migrate").symlink_to("../the checkout/start.sh")
    for command in ("./migrate", "../the checkout/start.sh"):
        done = checkout.press("bash", command, folder=home, CDPATH=str(home))
        assert done.stdout == f"CALLED_FROM={home} -S -P deploy/begin.py\n", done.stderr


def damaged(checkout: Checkout, how: str) -> Checkout:
    """A checkout whose .venv is no longer, or not yet, what it should be."""
    venv = checkout.root / ".venv"
    if how == "python is gone":
        (venv / "bin" / "python").unlink()
        (venv / "bin" / "python").symlink_to("/nowhere/python3.12")
    elif how == "python was upgraded":
        (venv / "lib" / "python3.12").rename(venv / "lib" / "python3.11")
    elif how == "pip was interrupted":
        (venv / "being-made").write_text("999999999\n")
    elif how == "venv was interrupted":
        (venv / "pyvenv.cfg").unlink()
    elif how == "without pip":
        (venv / "lib" / "python3.12" / "site-packages" / "pip").rmdir()
    elif how == "moved":
        checkout.root = checkout.root.rename(checkout.root.with_name("elsewhere"))
    return checkout


DAMAGES = {
    "python is gone": "its Python does not run",
    "python was upgraded": "its Python has become Python 3.12",
    "pip was interrupted": "making it was interrupted",
    "venv was interrupted": "making it was interrupted",
    "without pip": "it has no pip",
    "moved": "the checkout was moved or copied",
}


@pytest.mark.parametrize("how", DAMAGES)
def test_a_half_made_environment_is_made_anew(checkout: Checkout, how: str) -> None:
    assert checkout.press().returncode == 0
    damaged(checkout, how)
    if how != "moved":
        done = checkout.press("./stop.sh")
        assert (done.returncode, DAMAGES[how] in done.stderr) == (2, True)
    done = checkout.press()
    assert done.returncode == 0, done.stderr
    assert f"Making .venv anew: {DAMAGES[how]}" in done.stderr
    assert (checkout.times("made"), checkout.times("installed")) == (2, 2)
    assert checkout.press().stderr == ""


def test_what_is_somebodys_is_left_alone(checkout: Checkout) -> None:
    """A folder of that name which no program of ours has made."""
    (checkout.root / ".venv").mkdir()
    (checkout.root / ".venv" / "precious").write_text("mine")
    done = checkout.press()
    assert (done.returncode, "is in the way" in done.stderr) == (2, True)
    assert (checkout.root / ".venv" / "precious").read_text() == "mine"


def test_two_starts_at_once(checkout: Checkout) -> None:
    """The second one does not take away what the first is making."""
    first = subprocess.Popen(
        ["./start.sh"],
        cwd=checkout.root,
        env=checkout.environment(PIP_DOES="sleep 60"),
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        wait_for(lambda: checkout.times("installed") == 1)
        done = checkout.press()
        assert done.returncode == 2
        assert f"Another start is making {checkout.root}/.venv" in done.stderr
    finally:
        os.killpg(first.pid, signal.SIGTERM)
        first.communicate(timeout=30)
    assert checkout.press().returncode == 0


@pytest.mark.parametrize("step", ["PIP_DOES", "VENV"])
def test_ctrl_c_while_it_is_made(checkout: Checkout, step: str) -> None:
    """A sentence, 130, and the next start goes on."""
    if step == "VENV":
        program(
            checkout.python,
            PYTHON.replace("mkdir -p .venv/bin", "echo >slow; sleep 60"),
        )
    process = subprocess.Popen(
        ["./start.sh"],
        cwd=checkout.root,
        env=checkout.environment(PIP_DOES="sleep 60"),
        text=True,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    wait_for(lambda: checkout.times("installed") == 1 or checkout.times("slow") == 1)
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=30)[1]
    assert process.returncode == 130
    assert "Stopped; nothing was started" in said
    program(checkout.python, PYTHON)
    done = checkout.press()
    assert done.returncode == 0, done.stderr
    assert "Making .venv anew: making it was interrupted" in done.stderr


@pytest.mark.parametrize("system", ADVICE)
def test_what_to_install_on_each_system(checkout: Checkout, system: str) -> None:
    """Too old a Python, and one without venv."""
    release = checkout.root / "os-release"
    release.write_text(SYSTEMS.get(system, ""))
    if system == "macos":
        (checkout.tools / "uname").unlink()
        program(checkout.tools / "uname", "echo Darwin")
    python, venv = ADVICE[system]
    done = checkout.press(OS_RELEASE=str(release), OLD="1", VERSION="3.9")
    assert done.returncode == 2
    assert "Python 3.11 or newer is needed; here is only Python 3.9.4." in done.stderr
    assert python in done.stderr
    done = checkout.press(OS_RELEASE=str(release), NO_VENV="1")
    assert done.returncode == 2
    assert "has no venv or ensurepip. Install it: " in done.stderr
    assert venv in done.stderr
    assert not (checkout.root / ".venv").exists()


@pytest.mark.parametrize("case", REFUSALS)
def test_packages_that_cannot_be_installed(checkout: Checkout, case: str) -> None:
    """What pip has said, and what to do; when that is done the next start goes on."""
    says, status, sentence = REFUSALS[case]
    done = checkout.press(PIP_SAYS=says, PIP_DOES="exit 1")
    assert done.returncode == status
    assert "The packages of requirements.txt could not be installed: " in done.stderr
    assert sentence in done.stderr
    assert "then start again" in done.stderr
    done = checkout.press()
    assert done.returncode == 0, done.stderr


def test_a_second_user_of_a_checkout(checkout: Checkout) -> None:
    """May use what is there, and is told who can make what is not."""
    second = nobody([str(checkout.root / "start.sh")])
    if os.geteuid() != 0:
        pytest.skip("needs a second user")
    (checkout.tools / "setpriv").symlink_to(second[0])
    done = checkout.press(*second, folder=Path("/"))
    assert done.returncode == 5
    assert "There is no .venv yet" in done.stderr
    assert "which belongs to root: let root call ./start.sh here once" in done.stderr
    assert checkout.press().returncode == 0
    done = checkout.press(*second, folder=Path("/"))
    assert done.returncode == 0, done.stderr
    (checkout.root / "requirements.txt").write_text("rich>13\n")
    done = checkout.press(*second, folder=Path("/"))
    assert (done.returncode, "of another version" in done.stderr) == (5, True)


def test_the_real_pip_behind_a_proxy_that_is_away(checkout: Checkout) -> None:
    """Nothing listens on its port."""
    program(checkout.python, f'exec {sys.executable} "$@"')
    (checkout.root / "requirements.txt").write_text("no-such-package-of-ours\n")
    left_out = ("PIP_FIND_LINKS", "PIP_EXTRA_INDEX_URL", "PIP_NO_INDEX")
    done = checkout.press(
        "env",
        *(word for name in (*left_out, "PYTHONWARNINGS") for word in ("-u", name)),
        str(checkout.root / "start.sh"),
        PATH=f"{checkout.tools}{os.pathsep}{os.environ['PATH']}",
        PIP_CONFIG_FILE=os.devnull,
        PIP_INDEX_URL="https://index.invalid/simple",
        https_proxy="http://127.0.0.1:9",
        PIP_RETRIES="1",
    )
    assert done.returncode == 3, done.stderr
    assert "look at https_proxy and http_proxy" in done.stderr
    assert "Traceback" not in done.stderr


def test_ctrl_c_while_the_program_is_loaded() -> None:
    """Its modules take a moment; the first of them is held up by a pipe."""
    held = "import deploy.begin, os, sys; os.write(1, b'?'); sys.stdin.read()"
    process = subprocess.Popen(
        [sys.executable, "-c", held],
        cwd=PROJECT,
        env=clean_environment(),
        text=True,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )
    assert process.stdout is not None
    assert process.stdout.read(1) == "?"
    process.send_signal(signal.SIGINT)
    said = process.communicate(timeout=30)[1]
    assert (process.returncode, said) == (130, "Stopped; nothing was started\n")


def test_ctrl_c_before_the_program_listens() -> None:
    """It has waited, and comes as soon as it is listened to."""
    early = (
        "import os, signal; signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT}); "
        "os.kill(os.getpid(), signal.SIGINT); import deploy.begin; print('it goes on')"
    )
    done = subprocess.run(
        [sys.executable, "-c", early],
        cwd=PROJECT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (
        130,
        "",
        "Stopped; nothing was started\n",
    )


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
@pytest.mark.parametrize("waits", [True, False])
def test_ctrl_c_waits_where_env_can_have_it_wait(
    checkout: Checkout, waits: bool
) -> None:
    """Not on macOS, whose `env` has no such option: there it starts without."""
    if waits:
        (checkout.tools / "env").symlink_to(str(shutil.which("env")))
        (checkout.tools / "true").symlink_to(str(shutil.which("true")))
    else:
        program(checkout.tools / "env", "exit 125\n")
    done = checkout.press(SHOW_MASK="1")
    (mask,) = [
        int(line.split()[1], 16)
        for line in done.stdout.splitlines()
        if line.startswith("SigBlk")
    ]
    blocked = mask >> (signal.SIGINT - 1) & 1
    assert (done.returncode, blocked) == (0, int(waits)), done.stderr
