"""System calls a confined worker may not make; pure tables.

Landlock decides about files; this about programs, the network, other processes, and
what Landlock leaves out, such as the mode of a file.
"""

import errno
import socket
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

#: `MSG_FASTOPEN`, with which sending connects; `CLONE_NEW*`, which makes namespaces.
FASTOPEN = 0x20000000
NAMESPACES = (0x80, 0x20000, 0x2000000, 0x4000000, 0x8000000, 0x10000000, 0x20000000,
              0x40000000)  # fmt: skip
#: The bit in the numbers of x32, a second set of the same calls on x86_64, and the
#: numbers only that set has.
X32, X32_ONLY = 0x40000000, range(512, 548)

#: Calls that are refused whatever they are given.
REFUSED = {
    "programs": ("execve", "execveat"),
    "network": ("bind", "listen", "accept", "accept4", "sendmmsg"),
    "attributes of files": (
        "chmod", "fchmod", "fchmodat", "fchmodat2", "chown", "fchown", "lchown",
        "fchownat", "setxattr", "lsetxattr", "fsetxattr", "setxattrat", "removexattr",
        "lremovexattr", "fremovexattr", "removexattrat", "utime", "utimes",
        "futimesat", "utimensat", "truncate", "creat", "mknod", "mknodat",
    ),
    "the file system": (
        "mount", "umount2", "pivot_root", "chroot", "mount_setattr", "move_mount",
        "fsopen", "fsconfig", "fsmount", "fspick", "open_tree", "name_to_handle_at",
        "open_by_handle_at", "fanotify_init", "quotactl", "quotactl_fd", "swapon",
        "swapoff", "acct",
    ),
    "other processes": (
        "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise",
        "pidfd_getfd", "pidfd_send_signal", "kcmp", "tkill", "rt_sigqueueinfo",
        "rt_tgsigqueueinfo", "shmget", "shmat", "shmctl", "msgget", "msgsnd", "msgrcv",
        "msgctl", "semget", "semop", "semctl", "mq_open", "mq_unlink",
    ),
    "the kernel": (
        "unshare", "setns", "bpf", "perf_event_open", "userfaultfd", "keyctl",
        "add_key", "request_key", "init_module", "finit_module", "delete_module",
        "kexec_load", "kexec_file_load", "reboot", "sethostname", "setdomainname",
        "settimeofday", "clock_settime", "clock_adjtime", "adjtimex", "iopl", "ioperm",
        "modify_ldt", "syslog", "vhangup",
    ),
}  # fmt: skip
#: Calls that do what a filter cannot see into: programs then use the older ones.
UNKNOWN = ("clone3", "openat2", "io_uring_setup", "io_uring_enter", "io_uring_register")


@dataclass(frozen=True, slots=True)
class Condition:
    """An argument that must equal `value`, in the bits of `mask` if there is one."""

    argument: int
    value: int
    mask: int | None = None


@dataclass(frozen=True, slots=True)
class Call:
    """What becomes of one call: `error` 0 lets it through. The first that fits counts."""

    name: str
    error: int
    when: tuple[Condition, ...] = ()


def calls(pid: int, *, connects: bool) -> Iterator[Call]:
    """Yields the rules for the process with this pid.

    With `connects` it may connect by itself, where Landlock says to which ports.
    """
    yield from _sockets()
    yield from _itself(pid)
    yield from _files()
    for flag in NAMESPACES:
        yield Call("clone", errno.EPERM, (Condition(0, flag, flag),))
    if not connects:
        yield Call("connect", errno.EACCES)
    for names in REFUSED.values():
        yield from (Call(name, errno.EACCES) for name in names)
    yield from (Call(name, errno.ENOSYS) for name in UNKNOWN)


def _sockets() -> Iterator[Call]:
    """Only TCP, and no sending that connects or names an address.

    The address of `sendmsg` is out of a filter's sight. A stream takes none, but a
    datagram socket would reach any socket of the file system: pairs are streams.
    """
    for family in (socket.AF_INET, socket.AF_INET6):
        for protocol in (0, socket.IPPROTO_TCP):
            stream = Condition(1, int(socket.SOCK_STREAM), 0xF)
            this = (Condition(0, int(family)), stream, Condition(2, protocol))
            yield Call("socket", 0, this)
    yield Call("socket", errno.EACCES)
    pair = Condition(0, int(socket.AF_UNIX)), Condition(1, int(socket.SOCK_STREAM), 0xF)
    yield Call("socketpair", 0, pair)
    yield Call("socketpair", errno.EACCES)
    yield Call("sendto", 0, (Condition(4, 0),))
    yield Call("sendto", errno.EACCES)
    yield Call("sendmsg", errno.EACCES, (Condition(2, FASTOPEN, FASTOPEN),))


def _itself(pid: int) -> Iterator[Call]:
    """Signals and limits only for the process itself; signal 0 only asks."""
    yield Call("kill", 0, (Condition(0, pid),))
    yield Call("kill", 0, (Condition(1, 0),))
    yield Call("kill", errno.EACCES)
    yield Call("tgkill", 0, (Condition(0, pid),))
    yield Call("tgkill", errno.EACCES)
    for own in (0, pid):
        yield Call("prlimit64", 0, (Condition(0, own),))
    yield Call("prlimit64", errno.EACCES)


def _files() -> Iterator[Call]:
    """Opening for reading must not empty a file, which Landlock allows before Linux 6.2."""
    mode, truncate = 0o3, 0o1000
    for name, flags in (("open", 1), ("openat", 2)):
        empties = Condition(flags, truncate, mode | truncate)
        yield Call(name, errno.EACCES, (empties,))


def known(
    found: Sequence[Call], number: Callable[[str], int]
) -> Iterator[tuple[int, Call]]:
    """Yields the calls that this machine has, with their numbers.

    `number` raises ValueError for a call that this kind of processor never had.
    """
    for call in found:
        try:
            yield number(call.name), call
        except ValueError:
            continue
