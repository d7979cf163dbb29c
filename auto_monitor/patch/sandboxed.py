"""The inner half of `sandbox`: gives up all privileges, then executes a program.

It is run by its path, with `python -I`, in new namespaces (user, network, process,
mount), so it imports only the standard library. Its only argument is a JSON object:
`folder` (the only writable place), `command`, `seconds` of CPU time. Exits with
`CANNOT` when the kernel does not allow it.
"""

import ctypes
import fcntl
import json
import os
import resource
import signal
import socket
import struct
import sys
from pathlib import Path

#: The status by which the inner part reports that the sandbox cannot be made.
CANNOT = 97
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
_DEVICES = ("/dev/null", "/dev/zero", "/dev/random", "/dev/urandom")
_MS_RDONLY, _MS_BIND, _MS_REC, _MS_PRIVATE, _MNT_DETACH = 1, 4096, 16384, 1 << 18, 2
_SYS_MOUNT_SETATTR, SYS_PIVOT_ROOT = 442, {"x86_64": 155, "aarch64": 41}
_AT_RECURSIVE, _READ_ONLY = 0x8000, 1 | 2 | 4  # read-only, no set-user-id, no devices
_PR_SET_NO_NEW_PRIVS, _PR_CAPBSET_DROP, _PR_SET_DUMPABLE = 38, 24, 4


def _main() -> None:
    spec = json.loads(sys.argv[1])
    try:
        _loopback()
        _new_root(Path(spec["folder"]))
        _limits(float(spec["seconds"]))
        _give_up_privileges()
    except OSError as error:
        sys.stderr.write(f"{error}\n")
        os._exit(CANNOT)
    os.chdir(INSIDE)
    os.execvp(spec["command"][0], spec["command"])  # noqa: S606 - no shell is wanted


_libc = ctypes.CDLL(None, use_errno=True)


def _call(what: str, result: int) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")


def _mount(source: str, target: Path, kind: str | None, flags: int) -> None:
    kind_bytes = kind.encode() if kind else None
    _call(
        f"mount {target}",
        _libc.mount(source.encode(), str(target).encode(), kind_bytes, flags, None),
    )


def _loopback() -> None:
    """Brings `lo` up: 127.0.0.1 is all the network there is."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as link:
        # SIOCSIFFLAGS, IFF_UP | IFF_RUNNING
        fcntl.ioctl(link, 0x8914, struct.pack("16sh14x", b"lo", 1 | 64))


def _new_root(folder: Path) -> None:
    """Switches to a root with only the system's libraries, our Python, and the folder.

    The old root is unmounted.
    """
    root = folder / "root"
    root.mkdir(exist_ok=True)
    _mount("none", Path("/"), None, _MS_REC | _MS_PRIVATE)
    _mount("tmpfs", root, "tmpfs", 0)
    for name in (*_SYSTEM, *_DEVICES, *_python_folders()):
        _show(Path(name), root)
    for name in ("proc", "tmp", "old", INSIDE.name):
        (root / name).mkdir(exist_ok=True)
    _mount("proc", root / "proc", "proc", 0)
    _mount(str(folder), root / INSIDE.name, None, _MS_BIND)
    number = SYS_PIVOT_ROOT[os.uname().machine]
    _call(
        "pivot_root",
        _libc.syscall(number, str(root).encode(), str(root / "old").encode()),
    )
    os.chdir("/")
    _call("umount", _libc.umount2(b"/old", _MNT_DETACH))
    Path("/old").rmdir()


def _python_folders() -> list[str]:
    folders = {
        str(Path(prefix).resolve())
        for prefix in (sys.prefix, sys.base_prefix, sys.exec_prefix)
    }
    return sorted(name for name in folders if not name.startswith("/usr"))


def _show(path: Path, root: Path) -> None:
    """Makes a file or folder of the old root visible at the same place, read-only.

    A link stays a link.
    """
    target = root / path.relative_to("/")
    if path.is_symlink() and not str(path).startswith("/etc"):
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(path.readlink())
        return
    if not path.exists():
        return
    if path.is_dir():
        target.mkdir(parents=True, exist_ok=True)
    else:
        target.parent.mkdir(parents=True, exist_ok=True)
        target.touch()
    _mount(str(path), target, None, _MS_BIND | _MS_REC)
    if str(path).startswith("/dev/"):
        return
    attributes = struct.pack("QQQQ", _READ_ONLY, 0, 0, 0)
    _call(
        f"mount_setattr {path}",
        _libc.syscall(
            _SYS_MOUNT_SETATTR,
            -100,
            str(target).encode(),
            _AT_RECURSIVE,
            attributes,
            len(attributes),
        ),
    )


def _limits(seconds: float) -> None:
    for what, most in (
        (resource.RLIMIT_AS, MEMORY),
        (resource.RLIMIT_FSIZE, FILE_SIZE),
        (resource.RLIMIT_NOFILE, OPEN_FILES),
        (resource.RLIMIT_CPU, int(seconds)),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(what, (most, most))


def _give_up_privileges() -> None:
    """Drops all capabilities and the ability to gain any."""
    last = int(Path("/proc/sys/kernel/cap_last_cap").read_text("ascii"))
    for capability in range(last + 1):
        _call("capabilities", _libc.prctl(_PR_CAPBSET_DROP, capability, 0, 0, 0))
    _call("no_new_privs", _libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
    # The first process of a namespace ignores signals without a handler; a worker must
    # end when told to.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)


if __name__ == "__main__":
    _main()
