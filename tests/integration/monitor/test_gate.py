"""The sandbox holds, and the gate lets only a script through that migrates the demo
library as it should."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import venv
from pathlib import Path

import pytest

from auto_monitor.fix_applier import (
    FixRefused,
    NotOurs,
    backups,
    candidate_path,
    digest,
    promote,
    replace,
    roll_back,
)
from auto_monitor.patch import gate, sandbox
from tests.support.environment import PROJECT
from tests.support.libraries.librarykit import Library, epubs
from tests.support.monitor.editkit import SCRIPT, as_strings, workshop

pytestmark = [pytest.mark.integration]

TRIES = """
import ctypes, json, os, socket
def tried(do):
    try:
        return str(do())
    except Exception as error:
        return type(error).__name__
print(json.dumps({
    "home": tried(lambda: sorted(os.listdir(HOME))),
    "secret": tried(lambda: open(SECRET).read()),
    "shadow": tried(lambda: open("/etc/shadow").read()),
    "network": tried(lambda: socket.create_connection(("10.255.255.1", 80), 1)),
    "loopback": tried(lambda: socket.create_server(("127.0.0.1", 0)).close()),
    "processes": tried(lambda: len([p for p in os.listdir("/proc") if p.isdigit()])),
    "environment": tried(lambda: sorted(set(os.environ) - {"PATH", "LC_CTYPE", "PWD"})),
    "write": tried(lambda: open("/usr/x", "w")),
    "mount": tried(lambda: ctypes.CDLL(None).mount(b"none", b"/tmp", b"tmpfs", 0, None)),
    "chroot": tried(lambda: os.chroot("/tmp")),
    "large file": tried(lambda: open("large", "wb").truncate(1 << 40)),
    "memory": tried(lambda: len(bytearray(8 << 30))),
    "own folder": tried(lambda: open("mine", "w").write("1")),
}))
"""


def test_what_runs_in_the_sandbox_sees_and_reaches_nothing(tmp_path: Path) -> None:
    """No home, no secret beside it, no network but loopback, no other process, no
    privilege; limits."""
    folder = tmp_path / "folder"
    folder.mkdir()
    (tmp_path / "secret").write_text("the password")
    code = f"HOME = {str(Path.home() / '.ssh')!r}; SECRET = {str(tmp_path / 'secret')!r}\n{TRIES}"
    done = sandbox.run(
        [sandbox.python(), "-c", code], folder, {"PATH": "/usr/bin:/bin"}, 60
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {
        "home": "FileNotFoundError",
        "secret": "FileNotFoundError",
        "shadow": "FileNotFoundError",
        "network": "OSError",
        "loopback": "None",
        "processes": "1",
        "environment": "[]",
        "write": "OSError",
        "mount": "-1",
        "chroot": "PermissionError",
        "large file": "OSError",
        "memory": "MemoryError",
        "own folder": "1",
    }
    assert (folder / "mine").read_text() == "1"


def test_an_interpreter_below_tmp_is_there_inside(tmp_path: Path) -> None:
    """A checkout may lie there, with its environment: the sandbox has a /tmp of its own,
    which must not hide it."""
    place = Path(tempfile.mkdtemp(dir="/tmp"))
    try:
        venv.create(place / "venv", symlinks=True)
        code = (
            "from pathlib import Path; from auto_monitor.patch import sandbox; "
            "done = sandbox.run([sandbox.python(), '-c', 'print(1 + 1)'], Path("
            f"{str(tmp_path)!r}), {{}}, 60); print(done.stdout, done.stderr)"
        )
        done = subprocess.run(
            [place / "venv" / "bin" / "python3", "-c", code],
            env={"PATH": os.environ["PATH"], "PYTHONPATH": os.pathsep.join(sys.path)},
            cwd=PROJECT,
            capture_output=True,
            text=True,
            timeout=120,
            check=True,
        )
    finally:
        shutil.rmtree(place)
    assert done.stdout == "b'2\\n' b''\n", done.stderr


def test_time_is_up(tmp_path: Path) -> None:
    """It is killed with everything it has started."""
    code = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'while True: pass'])"
    done = sandbox.run(
        [sandbox.python(), "-c", code], tmp_path, {"PATH": "/usr/bin:/bin"}, 2
    )
    assert done.returncode in (-9, 137)


def broken(tmp_path: Path, old: str, new: str) -> Path:
    """The worker with one text for another."""
    text = SCRIPT.read_text("utf-8")
    assert text.count(old) == 1
    path = tmp_path / "candidate.py"
    path.write_text(text.replace(old, new), "utf-8")
    return path


def test_the_script_in_place_passes(tmp_path: Path) -> None:
    """As expected, and like itself; nothing is left behind."""
    how = gate.check(SCRIPT, SCRIPT, PROJECT, tmp_path / "gate", 120)
    assert re.fullmatch(
        r"the demo library arrived as expected in \d+\.\d s, as with the script in place",
        how,
    )
    assert not (tmp_path / "gate").exists()


WRONG = [
    (
        "(file, self.options.max_content_length)",
        "(file, self.options.max_content_length // 2)",
        "",
    ),
    (
        "(file, self.options.max_content_length)",
        "(file, 0)",
        "uploaded 0 instead of 59",
    ),
    (
        "    return worker(sys.argv",
        "    sys.exit(0)\n    return worker(sys.argv",
        "uploaded None",
    ),
    (
        "        while (owned := self.next_range()) is not None:\n",
        "        while True:\n",
        "discovered 0 instead",
    ),
    (
        "read_books(owned.first, owned.last, wanted)\n        )\n",
        "read_books(owned.first, owned.last, wanted)\n        )[1:]\n",
        r"uploaded \d+ instead of 59; .*"
        "the pass did not come to its end with everything accounted for; "
        r".* books arrive otherwise than with the script in place",
    ),
]


@pytest.mark.parametrize(("old", "new", "why"), WRONG, ids=range(len(WRONG)))
def test_a_script_that_does_otherwise_does_not_pass(
    tmp_path: Path, old: str, new: str, why: str
) -> None:
    """Refuses good files, sends nothing, never ends, leaves books out, which
    the rest of the worker notices. What does no harm passes."""
    candidate = broken(tmp_path, old, new)
    if not why:
        gate.check(candidate, SCRIPT, PROJECT, tmp_path / "gate", 120)
        return
    with pytest.raises(gate.NotPassed, match=why):
        gate.check(candidate, SCRIPT, PROJECT, tmp_path / "gate", 8)


@pytest.mark.slow
def test_skipping_one_of_the_users_books_does_not_pass(tmp_path: Path) -> None:
    """The script in place hangs on book 58 of the user's library; so that it goes on,
    the candidate says that the server cannot accept it. The rest of the worker sees
    that it can. The demo library has no such book."""
    line = "        refuse_unsendable(file, self.options.max_content_length)\n"
    first = "        {}\n" + line
    current, candidate = (
        broken(tmp_path, line, first.format(fault)).rename(tmp_path / name)
        for name, fault in (
            ("current.py", "while file.id.book_id == 58: self.pool.sleep(0.05)"),
            ("skips.py", "if file.id.book_id == 58: refuse_unsendable(file, 0)"),
        )
    )
    Library(tmp_path / "library").add(*epubs(range(60)))
    with pytest.raises(
        gate.NotPassed,
        match=r"^a copy of 6 books of this library: it gets no further",
    ):
        gate.check(
            candidate,
            current,
            PROJECT,
            tmp_path / "gate",
            120,
            gate.Sample(tmp_path / "library", 55),
        )


def test_the_way_of_a_code_fix(tmp_path: Path) -> None:
    """Backup, candidate, promotion, and back; a third version is never overwritten."""
    place = workshop(tmp_path)
    before = place.script.read_bytes()
    place.script.chmod(0o755)
    made = place.apply(
        as_strings(
            "        limit = min(self.options.batch_size, share)",
            "        limit = min(share, self.options.batch_size)",
        )
    )
    assert place.script.read_bytes() == before
    kept = digest(candidate_path(place.state_dir, made.name).read_bytes())
    assert (made.before, kept) == (digest(before), made.after)
    promote(place.script, place.state_dir, made)
    promote(place.script, place.state_dir, made)
    assert digest(place.script.read_bytes()) == made.after
    assert place.script.stat().st_mode & 0o777 == 0o755
    assert roll_back(place.script, place.state_dir) == made.backup
    assert place.script.read_bytes() == before
    with pytest.raises(FixRefused, match="no backup"):
        roll_back(place.script, place.state_dir)
    replace(place.script, before + b"# newer\n")
    with pytest.raises(NotOurs):
        promote(place.script, place.state_dir, made)
    assert place.script.read_bytes() == before + b"# newer\n"
    assert [path.name for path in backups(place.state_dir, place.script)] == [
        made.backup
    ]
