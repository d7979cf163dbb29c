"""What a confined worker may use, as tables."""

import errno
import socket
from pathlib import Path

import pytest

from auto_monitor.patch import confinement
from migration.confinement import calls
from migration.confinement.calls import Call, Condition
from migration.confinement.kernel import Tiers
from migration.confinement.rules import (
    Access,
    Job,
    Python,
    Rule,
    interpreter,
    rules,
    written_files,
)
from migration.confinement.start import LAUNCHER, is_changed, launcher
from migration.confinement.targets import Target, targets

STATE, PROJECT = Path("/state"), Path("/project")
JOB = Job(
    Path("/state/auto_monitor/candidates/bulk_migrate_calibre.1.py"),
    Path("/books"),
    STATE,
    3,
    PROJECT,
    "http://server:6006",
)
PYTHON = Python(("/venv", "/usr"), ("", "/project", "/venv/lib/site-packages"))


def test_all_that_may_be_written() -> None:
    """The worker's own files and the ledger; files are made in its folder only."""
    found = rules(JOB, PYTHON, ())
    assert {rule.path for rule in found if rule.access is Access.WRITE} == {
        Path("/dev/null"),
        *(
            STATE / name
            for name in (
                "migration_progress_worker3.json",
                "migration_worker3.log",
                "migration_worker3.log.1",
                "migration_worker3.ndjson",
                "migration_worker3.ndjson.1",
                "migration_worker3.lock",
                "migration_worker3.stack",
                "not_carried.jsonl",
                "migration_ledger.db",
                "migration_ledger.db-wal",
                "migration_ledger.db-shm",
            )
        ),
    }
    assert [rule.path for rule in found if rule.access is Access.OWN] == [
        STATE / "confined" / "worker3"
    ]
    assert [rule.path for rule in found if rule.access is Access.LIST] == [STATE]


def test_what_of_checkout_and_state_may_be_read() -> None:
    """The named packages, the script, reservations; no .env, no .git, no home."""
    found = {
        rule.path
        for rule in rules(JOB, PYTHON, ["/ca.pem"])
        if rule.access is Access.READ
    }
    ours = {
        path
        for path in found
        if path.is_relative_to(STATE) or path.is_relative_to(PROJECT)
    }
    assert ours == {
        JOB.script,
        STATE / "reserved",
        PROJECT / "common",
        PROJECT / "migration",
        PROJECT / "settings.py",
    }
    assert {Path("/books"), Path("/ca.pem")} <= found
    forbidden = map(
        Path,
        ("/", "/home", "/root", "/etc", "/usr", "/usr/bin", "/bin", "/tmp", "/run"),
    )
    assert not found & set(forbidden)


def test_the_interpreter_is_its_libraries_only() -> None:
    """A prefix may be /usr or a home."""
    assert interpreter(PYTHON) == (
        Path("/venv/lib"),
        Path("/venv/lib64"),
        Path("/venv/pyvenv.cfg"),
        Path("/usr/lib"),
        Path("/usr/lib64"),
        Path("/usr/pyvenv.cfg"),
        Path("/venv/lib/site-packages"),
    )


def test_no_two_rules_for_one_file() -> None:
    """Of another kind: a file that is written is not in a folder that is owned."""
    found = rules(JOB, PYTHON, ())
    assert all(not path.is_relative_to(JOB.folder) for path in written_files(JOB))
    assert Rule(JOB.folder, Access.OWN) in found


@pytest.mark.parametrize(
    ("server", "ws_url", "proxies", "expected"),
    [
        ("http://a:6006", "", (), {Target("a", 6006), Target("a", 8080)}),
        ("https://a", "", (), {Target("a", 443), Target("a", 8080)}),
        ("http://a", "ws://b:1/ws", (), {Target("a", 80), Target("b", 1)}),
        ("http://a:1", "wss://b/ws", (), {Target("a", 1), Target("b", 443)}),
        ("http://[::1]:5", "", (), {Target("::1", 5), Target("::1", 8080)}),
        (
            "http://a:1",
            "ws://a:1/ws",
            ("http://u:p@proxy:3128", "proxy2:8", "no port:x"),
            {Target("a", 1), Target("proxy", 3128), Target("proxy2", 8)},
        ),
        (
            "http://Bücher.example:1",
            "ws://xn--bcher-kva.example:1/ws",
            (),
            {Target("xn--bcher-kva.example", 1)},
        ),
        ("http://bü_cher:1", "ws://a:1/ws", (), {Target("bü_cher", 1), Target("a", 1)}),
        ("http://a:99999", "ws://a:1/ws", (), {Target("a", 1)}),
    ],
)
def test_where_a_worker_connects_to(
    server: str, ws_url: str, proxies: tuple[str, ...], expected: set[Target]
) -> None:
    """The server, its task engine, and a proxy of the environment."""
    assert set(targets(server, ws_url, proxies)) == expected


def decided(name: str, *arguments: int, connects: bool = False) -> int:
    """What becomes of a call of the process 77: 0, or its errno."""
    for call in calls.calls(77, connects=connects):
        if call.name == name and all(_holds(one, arguments) for one in call.when):
            return call.error
    return 0


def _holds(one: Condition, arguments: tuple[int, ...]) -> bool:
    mask = -1 if one.mask is None else one.mask
    return arguments[one.argument] & mask == one.value


INET, INET6, UNIX = int(socket.AF_INET), int(socket.AF_INET6), int(socket.AF_UNIX)
TCP, UDP = int(socket.SOCK_STREAM), int(socket.SOCK_DGRAM)
SEQUENCED, TIPC = int(socket.SOCK_SEQPACKET), 30
CLOEXEC = 0o2000000


@pytest.mark.parametrize(
    ("name", "arguments", "error"),
    [
        ("socket", (INET, TCP | CLOEXEC, 0), 0),
        ("socket", (INET6, TCP, 6), 0),
        ("socket", (INET, TCP, 262), errno.EACCES),
        ("socket", (INET, UDP, 0), errno.EACCES),
        ("socket", (INET, 3, 1), errno.EACCES),
        ("socket", (UNIX, TCP, 0), errno.EACCES),
        ("socket", (16, 3, 0), errno.EACCES),
        ("socketpair", (UNIX, TCP | CLOEXEC, 0, 1), 0),
        ("socketpair", (UNIX, UDP, 0, 1), errno.EACCES),
        ("socketpair", (UNIX, SEQUENCED | CLOEXEC, 0, 1), errno.EACCES),
        ("socketpair", (TIPC, TCP, 0, 1), errno.EACCES),
        ("sendto", (4, 1, 1, 0, 0, 0), 0),
        ("sendto", (4, 1, 1, 0, 0x7FFF0000, 16), errno.EACCES),
        ("sendmsg", (4, 1, 0), 0),
        ("sendmsg", (4, 1, 0x20000000), errno.EACCES),
        ("connect", (4, 1, 16), errno.EACCES),
        ("kill", (77, 15), 0),
        ("kill", (78, 0), 0),
        ("kill", (78, 15), errno.EACCES),
        ("kill", (0, 15), errno.EACCES),
        ("tgkill", (77, 78, 10), 0),
        ("tgkill", (78, 78, 10), errno.EACCES),
        ("prlimit64", (0, 7, 0, 0), 0),
        ("prlimit64", (78, 7, 0, 0), errno.EACCES),
        ("clone", (0x3D0F00, 0, 0, 0, 0), 0),
        ("clone", (0x10000000 | 17, 0, 0, 0, 0), errno.EPERM),
        ("openat", (-100, 1, 0o100, 0), 0),
        ("openat", (-100, 1, 0o1001, 0), 0),
        ("openat", (-100, 1, 0o1000, 0), errno.EACCES),
        ("open", (1, 0o1000, 0), errno.EACCES),
        ("execve", (1, 1, 1), errno.EACCES),
        ("execveat", (1, 1, 1, 1, 1), errno.EACCES),
        ("clone3", (1, 1), errno.ENOSYS),
        ("io_uring_setup", (1, 1), errno.ENOSYS),
        ("read", (1, 1, 1), 0),
    ],
)
def test_which_calls_may_be_made(
    name: str, arguments: tuple[int, ...], error: int
) -> None:
    """The first rule that fits counts."""
    assert decided(name, *arguments) == error


def test_the_database_s_library_connects_by_itself() -> None:
    """Where Landlock says to which port."""
    assert decided("connect", 4, 1, 16, connects=True) == 0


def test_every_call_has_a_number() -> None:
    """A misspelt name would be no rule at all; processors differ in old calls only."""
    seccompy = pytest.importorskip("seccompy")
    tables = (
        seccompy.syscalls.X86_64_SYSCALLS,
        seccompy.syscalls.AARCH64_SYSCALLS,
    )
    names = {call.name for call in calls.calls(77, connects=False)}
    assert names <= set(tables[0])
    assert {name for name in names if name not in tables[1]} == {
        *("chmod", "chown", "lchown", "utime", "utimes", "futimesat"),
        *("mknod", "creat", "open", "iopl", "ioperm", "modify_ldt"),
    }


def test_calls_this_machine_does_not_have_are_left_out() -> None:
    """Others keep their numbers."""

    def number(name: str) -> int:
        if name == "open":
            raise ValueError(name)
        return 5

    asked = (Call("open", 1), Call("read", 2))
    assert list(calls.known(asked, number)) == [(5, Call("read", 2))]


HELD = Tiers("", "", "")


@pytest.mark.parametrize(
    ("found", "wanted", "refused", "sentence"),
    [
        (HELD, "auto", "", "confined: files, programs and network"),
        (HELD, "require", "", "confined: files, programs and network"),
        (
            Tiers("", "", "no filter"),
            "auto",
            "",
            "confined: files, programs; not network (no filter)",
        ),
        (
            Tiers("", "", "no filter"),
            "require",
            "CODE_FIX_CONFINEMENT is require, and the network cannot be restricted "
            "here: no filter",
            "only proposed: CODE_FIX_CONFINEMENT is require, and the network cannot be "
            "restricted here: no filter",
        ),
        (
            Tiers("no Landlock", "", ""),
            "auto",
            "a changed script cannot be confined here: programs, network; not files "
            "(no Landlock)",
            "only proposed: a changed script cannot be confined here: programs, "
            "network; not files (no Landlock)",
        ),
        (
            Tiers("x", "x", "x"),
            "auto",
            "a changed script cannot be confined here: not files (x), programs (x), "
            "network (x)",
            "only proposed: a changed script cannot be confined here: not files (x), "
            "programs (x), network (x)",
        ),
    ],
)
def test_what_becomes_of_code_fixes(
    found: Tiers, wanted: str, refused: str, sentence: str
) -> None:
    """Without files and programs they are only proposed, whatever is set."""
    assert confinement.refusal(found, wanted) == refused
    assert confinement.sentence(found, wanted) == sentence


def test_which_scripts_are_confined(tmp_path: Path) -> None:
    """A candidate, and one that was promoted; not the release's, nor one by hand."""
    folder = tmp_path / "auto_monitor" / "candidates"
    folder.mkdir(parents=True)
    candidate = folder / "bulk_migrate_calibre.1.py"
    candidate.write_text("changed")
    script = tmp_path / "bulk_migrate_calibre.py"
    assert not is_changed(script, tmp_path)
    for text, changed in (("released", False), ("changed", True)):
        script.write_text(text)
        assert is_changed(script, tmp_path) is changed
        assert launcher(script, tmp_path) == ([str(LAUNCHER)] if changed else [])
    assert is_changed(candidate, tmp_path)
