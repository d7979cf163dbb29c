"""What a script that an LLM has changed can reach: one confined process tries it all."""

import json
import os
import pwd
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import psutil
import pytest

from auto_monitor.processes import WorkerCommand, Workers
from migration.confinement import kernel
from migration.confinement.start import CANDIDATES, LAUNCHER
from migration.state_files.owner import Owner, is_alive, lock_path
from tests.support.environment import PROJECT, clean_environment
from tests.support.migration.workerkit import wait_for

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not kernel.tiers().enough, reason="no Landlock or seccomp here"),
]

PROBES = r"""
import ctypes, errno, json, os, signal, socket, sqlite3, subprocess, sys, threading
from pathlib import Path

state, library, secret, other, project, outside, port = sys.argv[-7:]
state, library, port = Path(state), Path(library), int(port)

def tried(do):
    try:
        done = do()
    except Exception as error:
        number = getattr(error, "errno", None)
        return errno.errorcode.get(number, type(error).__name__)
    return done if isinstance(done, str) and done.isupper() else "yes"

def thread(do):
    said = []
    one = threading.Thread(target=lambda: said.append(tried(do)))
    one.start()
    one.join()
    return said[0]

def connected(host, number):
    def do():
        with socket.create_connection((host, number), 5) as made:
            made.recv(1)
    return do

def raw(family, kind):
    return lambda: socket.socket(family, kind).close()

opened = socket.socket()
libc = ctypes.CDLL(None, use_errno=True)

def called(name, *arguments):
    def do():
        if getattr(libc, name)(*arguments) < 0:
            raise OSError(ctypes.get_errno(), name)
    return do

def direct():
    address = b"\x02\x00" + port.to_bytes(2, "big") + b"\x7f\0\0\x01" + bytes(8)
    if libc.connect(opened.fileno(), address, 16) < 0:
        raise OSError(ctypes.get_errno(), "connect")

def datagram():
    one, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with one, other:
        one.sendmsg([b"x"], [], 0, outside)

def pair():
    one, other = socket.socketpair()
    with one, other:
        one.sendall(b"x")
        other.recv(1)

def own_files():
    (state / "migration_progress_worker1.json").write_text("{}")
    ledger = sqlite3.connect(state / "migration_ledger.db")
    ledger.execute("INSERT OR REPLACE INTO meta VALUES ('note:probe', '1')")
    ledger.commit()
    ledger.close()
    folder = Path(os.environ["TMPDIR"])
    (folder / "new").write_text("x")
    (folder / "new").rename(folder / "newer")
    os.kill(os.getpid(), 0)

def marked():
    from migration.ledger import recovery
    recovery.mark_damaged(state, (state / "migration_ledger.db").stat().st_ino)

def imported():
    import migration.lanes.api.lane, psycopg

reads = {
    "the library": lambda: (library / "metadata.db").read_bytes(),
    "own files": own_files,
    "modules": imported,
    "proc": lambda: Path("/proc/1/stat").read_text(),
    "a pair of sockets": pair,
    "a mark on the ledger": marked,
    "the server": connected("127.0.0.1", port),
    "the server by name": connected("localhost", port),
    "the server in a thread": lambda: thread(connected("127.0.0.1", port)),
}
refused = {
    "~/.ssh": lambda: os.listdir(secret),
    "a key": lambda: Path(secret, "id").read_text(),
    ".env": lambda: Path(project, ".env").read_text(),
    "the rest of the checkout": lambda: Path(project, "README.md").read_text(),
    "its folder": lambda: os.listdir(project),
    ".git": lambda: os.listdir(Path(project, ".git")),
    "shadow": lambda: Path("/etc/shadow").read_text(),
    "the monitor's state": lambda: (state / "monitor_state.json").read_text(),
    "environment of another": lambda: Path(f"/proc/{other}/environ").read_bytes(),
    "kernel memory": lambda: open("/proc/kcore", "rb").close(),
    "beside the checkout": lambda: Path(project).parent.joinpath("x").write_text("x"),
    "the script": lambda: Path(sys.argv[0]).write_text("x"),
    "the library, written": lambda: (library / "metadata.db").open("r+b").close(),
    "the library, emptied": lambda: os.open(library / "metadata.db", os.O_TRUNC),
    "the library, cut": lambda: os.truncate(library / "metadata.db", 1),
    "the library, its mode": lambda: (library / "metadata.db").chmod(0o777),
    "the library, its time": lambda: os.utime(library / "metadata.db"),
    "the monitor's history": lambda: (state / "auto_fix_history.json").write_text("[]"),
    "a rename over it": lambda: os.rename(
        state / "migration_worker1.log.1", state / "auto_fix_history.json"),
    "a link to it": lambda: os.link(
        state / "auto_fix_history.json", Path(os.environ["TMPDIR"], "history")),
    "a symbolic link": lambda: os.symlink(secret, Path(os.environ["TMPDIR"], "link")),
    "a file in the state": lambda: (state / "new").write_text("x"),
    "another worker": lambda: (state / "migration_worker2.log").write_text("x"),
    "a shell": lambda: subprocess.run(["/bin/sh", "-c", "true"], check=True),
    "python": lambda: subprocess.run([sys.executable, "-c", ""], check=True),
    "exec": lambda: os.execv(sys.executable, [sys.executable, "-c", ""]),
    "a spawned shell": lambda: os.posix_spawn("/bin/sh", ["sh"], {}),
    "another loopback": connected("127.0.0.2", port),
    "another port": connected("127.0.0.1", port + 1),
    "round the broker": direct,
    "udp": raw(socket.AF_INET, socket.SOCK_DGRAM),
    "datagrams to another's socket": datagram,
    "unix": raw(socket.AF_UNIX, socket.SOCK_STREAM),
    "netlink": raw(socket.AF_NETLINK, socket.SOCK_RAW),
    "packet": raw(socket.AF_PACKET, socket.SOCK_RAW),
    "listening": lambda: opened.bind(("127.0.0.1", 0)),
    "sending that connects": lambda: opened.sendto(
        b"x", 0x20000000, ("127.0.0.2", port)),
    "a name elsewhere": lambda: socket.getaddrinfo("example.org", 80),
    "signals": lambda: os.kill(int(other), signal.SIGTERM),
    "ptrace": called("ptrace", 16, int(other), None, None),
    "mount": called("mount", b"none", b"/tmp", b"tmpfs", 0, None),
    "namespaces": called("unshare", 0x10000000),
    "x32": called("syscall", 0x40000000 | 520, b"/bin/sh", None, None),
    "io_uring": called("syscall", 425, 8, None),
}
said = {name: tried(do) for name, do in (reads | refused).items()}
said |= {
    "a key in a thread": thread(refused["a key"]),
    "a shell in a thread": thread(refused["a shell"]),
    "another loopback in a thread": thread(refused["another loopback"]),
}
opened.close()
print(json.dumps(said, default=str), flush=True)
# It is no worker, which may not end like this.
os._exit(0)
"""

ALLOWED = {
    "the library",
    "own files",
    "modules",
    "proc",
    "a pair of sockets",
    "a mark on the ledger",
    "the server",
    "the server by name",
    "the server in a thread",
}
#: What says otherwise than that permission is denied.
OTHERWISE = {
    ".env": {"EACCES", "ENOENT"},
    ".git": {"EACCES", "ENOTDIR"},
    "kernel memory": {"EACCES", "EPERM", "ENOENT"},
    "beside the checkout": {"EACCES", "EROFS"},
    "a link to it": {"EXDEV", "EACCES", "EPERM"},
    "a name elsewhere": {"gaierror"},
    "x32": {"ENOSYS"},
    "io_uring": {"ENOSYS"},
}


@pytest.fixture
def server() -> Iterator[int]:
    """A port at which 127.0.0.1, ::1 and 127.0.0.2 answer."""
    with ExitStack() as stack:
        first = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        port = int(first.getsockname()[1])
        second = stack.enter_context(socket.create_server(("127.0.0.2", port)))

        def answer(listening: socket.socket) -> None:
            while True:
                try:
                    listening.accept()[0].close()
                except OSError:
                    return

        for one in (first, second):
            stack.callback(one.shutdown, socket.SHUT_RDWR)
            threading.Thread(target=answer, args=(one,), daemon=True).start()
        yield port


def probed(
    folder: Path, port: int, user: str | None = None
) -> tuple[dict[str, object], int]:
    """What a confined process says of everything it tries, and its id."""
    state, library = folder / "state", folder / "library"
    state.mkdir()
    library.mkdir()
    secret = folder / "home" / ".ssh"
    secret.mkdir(parents=True)
    (secret / "id").write_text("the key")
    (library / "metadata.db").write_bytes(b"books")
    (state / "auto_fix_history.json").write_text("[]")
    (state / "monitor_state.json").write_text("{}")
    (state / "migration_worker2.log").write_text("")
    script = folder / "bulk_migrate_calibre.candidate.py"
    script.write_text(PROBES)
    outside = folder / "socket"
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listening.bind(str(outside))
    if user is not None:
        account = pwd.getpwnam(user)
        for path in (folder, *folder.rglob("*")):
            os.chown(path, account.pw_uid, account.pw_gid)
    # Python lies in a folder of root's here, which this user must be let through.
    alone = ["--clear-groups", "--inh-caps=+dac_read_search"]
    become = (
        []
        if user is None
        else [
            *("setpriv", f"--reuid={user}", "--regid=65534", *alone),
            "--ambient-caps=+dac_read_search",
        ]
    )
    other = subprocess.Popen([*become, "sleep", "60"])
    try:
        child = subprocess.Popen(
            [
                *(*become, sys.executable, str(LAUNCHER), str(script), str(library)),
                *("--server", f"http://127.0.0.1:{port}", "--worker-id", "1"),
                *("--state-dir", str(state)),
                *map(str, (state, library, secret, other.pid, PROJECT)),
                *(str(outside), str(port)),
            ],
            env=clean_environment(MBS2_WS_URL=f"ws://localhost:{port}/ws"),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        said, wrong = child.communicate(timeout=120)
        assert child.returncode == 0, wrong.decode()
        assert other.poll() is None
    finally:
        listening.close()
        other.kill()
        other.wait()
    return json.loads(said), child.pid


def check(said: dict[str, object]) -> None:
    """What a worker needs works, and everything else is refused."""
    assert {name: said[name] for name in ALLOWED} == dict.fromkeys(ALLOWED, "yes")
    fine = {"EACCES", "EPERM"}
    assert {
        name: found
        for name, found in said.items()
        if name not in ALLOWED and found not in OTHERWISE.get(name, fine)
    } == {}


def test_what_a_confined_script_can_reach(tmp_path: Path, server: int) -> None:
    """Files, programs, network, other processes, in every thread; nothing is left."""
    said, pid = probed(tmp_path, server)
    check(said)
    assert not psutil.pid_exists(pid)
    inode = (tmp_path / "state" / "migration_ledger.db").stat().st_ino
    mark = tmp_path / "state" / "migration_ledger.damaged"
    assert mark.read_text() == str(inode)
    assert (tmp_path / "library" / "metadata.db").read_bytes() == b"books"
    assert (tmp_path / "state" / "auto_fix_history.json").read_text() == "[]"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_another_user_is_confined_as_well(server: int) -> None:
    """Neither Landlock nor seccomp needs a privilege."""
    folder = Path("/var/tmp") / f"confined-{os.getpid()}"
    folder.mkdir(mode=0o755)
    try:
        check(probed(folder, server, "nobody")[0])
    finally:
        shutil.rmtree(folder)


ASLEEP = """
import sys, time
from pathlib import Path
from migration.state_files.owner import WorkerLock, this_process
from migration.worker.process import stacks

state = Path(sys.argv[sys.argv.index("--state-dir") + 1])
lock = WorkerLock(state, this_process(1))
stacks.write_on_signal(state, 1)
(state / "migration_progress_worker1.json").write_text("ready")
time.sleep(60)
"""


def test_the_monitor_knows_a_confined_worker(tmp_path: Path, server: int) -> None:
    """It is worker N under the pid it was started with, owns what it claims, tells its
    stacks, and ends with its broker."""
    state = tmp_path / "state"
    folder = state / CANDIDATES
    folder.mkdir(parents=True)
    script = folder / "bulk_migrate_calibre.1.py"
    script.write_text(ASLEEP)
    library = tmp_path / "library"
    library.mkdir()
    command = WorkerCommand(
        PROJECT / "bulk_migrate_calibre.py",
        library,
        f"http://127.0.0.1:{server}",
        state,
        PROJECT,
    )
    workers = Workers(command, grace_seconds=20)
    identity = workers.start(1, script=script)
    try:
        progress = state / "migration_progress_worker1.json"
        wait_for(lambda: progress.exists() and progress.read_text() == "ready", 60)
        other = Workers(command, grace_seconds=20)
        found = other.find(identity, 1)
        assert found is not None
        assert other.find(identity, 2) is None
        assert other.runs(identity, 1, script.name)
        owner = Owner.parse(lock_path(state, 1).read_text())
        assert owner.pid == identity.pid
        assert is_alive(owner, state)
        assert script.name in other.take_stack(identity, 1, 20)
        (broker,) = found.children()
    finally:
        assert workers.stop(identity, 1)
    wait_for(lambda: not broker.is_running(), 20)
    assert not is_alive(owner, state)
