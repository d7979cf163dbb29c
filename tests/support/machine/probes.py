"""What a confined script tries, one thing after the other, and what it must hear.

It is also a program, `probes.py FOLDER`, which prints what was said: inside a container
there are no tests. So it needs nothing but the project itself.
"""

import json
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path

from migration.confinement import kernel
from migration.confinement.start import LAUNCHER

PROJECT = LAUNCHER.parents[2]
#: Seconds for all of it.
SECONDS = 120.0

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
    "the rest of the checkout": lambda: Path(project, "deploy/cli.py").read_text(),
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


@contextmanager
def answering() -> Iterator[int]:
    """A port at which 127.0.0.1 and 127.0.0.2 answer."""
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


def prepare(folder: Path) -> None:
    """Makes what the script may have, and what it may not."""
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
    (folder / "bulk_migrate_calibre.candidate.py").write_text(PROBES)


def probed(
    folder: Path,
    port: int,
    environment: Mapping[str, str],
    become: Sequence[str] = (),
) -> tuple[dict[str, object], int]:
    """What a confined process says of everything it tries, and its id.

    `become` is a program that makes it another user's.
    """
    state, library = folder / "state", folder / "library"
    script = folder / "bulk_migrate_calibre.candidate.py"
    outside = folder / "socket"
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    listening.bind(str(outside))
    # It is not by its mode that it is refused.
    outside.chmod(0o777)
    other = subprocess.Popen([*become, "sleep", str(SECONDS)])
    try:
        child = subprocess.Popen(
            [
                *(*become, sys.executable, str(LAUNCHER), str(script), str(library)),
                *("--server", f"http://127.0.0.1:{port}", "--worker-id", "1"),
                *("--state-dir", str(state)),
                *map(str, (state, library, folder / "home" / ".ssh", other.pid)),
                *(str(PROJECT), str(outside), str(port)),
            ],
            env={**environment, "MBS2_WS_URL": f"ws://localhost:{port}/ws"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        said, wrong = child.communicate(timeout=SECONDS)
        assert child.returncode == 0, wrong.decode()
        assert other.poll() is None
    finally:
        listening.close()
        other.kill()
        other.wait()
    return json.loads(said), child.pid


def check(said: Mapping[str, object], absent: Collection[str] = ()) -> None:
    """What a worker needs works, and everything else is refused, or not there."""
    assert {name: said[name] for name in ALLOWED} == dict.fromkeys(ALLOWED, "yes")
    fine = {"EACCES", "EPERM"}
    assert {
        name: found
        for name, found in said.items()
        if name not in ALLOWED and found not in OTHERWISE.get(name, fine)
    } == dict.fromkeys(absent, "ENOENT")


def main() -> None:
    """Prints the tiers that hold here, and what was said."""
    folder = Path(sys.argv[1])
    folder.mkdir()
    prepare(folder)
    around = {name: os.environ[name] for name in ("PATH", "PYTHONPATH")}
    with answering() as port:
        said, _pid = probed(folder, port, {**around, "READ_ENV_FILES": "0"})
    sys.stdout.write(json.dumps({"tiers": asdict(kernel.tiers()), "said": said}))


if __name__ == "__main__":
    main()
