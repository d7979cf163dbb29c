"""What a script that an LLM has changed can reach: one confined process tries it all."""

import os
import pwd
import shutil
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from auto_monitor.processes import WorkerCommand, Workers
from migration.confinement import kernel
from migration.confinement.start import CANDIDATES
from migration.state_files.owner import Owner, is_alive, lock_path
from tests.support.environment import PROJECT, clean_environment
from tests.support.machine.probes import answering, check, prepare, probed
from tests.support.migration.workerkit import wait_for

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not kernel.tiers().enough, reason="no Landlock or seccomp here"),
]


@pytest.fixture
def server() -> Iterator[int]:
    """A port at which 127.0.0.1 and 127.0.0.2 answer."""
    with answering() as port:
        yield port


def as_user(folder: Path, user: str) -> list[str]:
    """Gives a folder to a user; returns the program that becomes that user."""
    account = pwd.getpwnam(user)
    for path in (folder, *folder.rglob("*")):
        os.chown(path, account.pw_uid, account.pw_gid)
    # Python lies in a folder of root's here, which this user must be let through.
    return [
        *("setpriv", f"--reuid={user}", "--regid=65534", "--clear-groups"),
        *("--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"),
    ]


def test_what_a_confined_script_can_reach(tmp_path: Path, server: int) -> None:
    """Files, programs, network, other processes, in every thread; nothing is left."""
    prepare(tmp_path)
    said, pid = probed(tmp_path, server, clean_environment())
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
        prepare(folder)
        become = as_user(folder, "nobody")
        check(probed(folder, server, clean_environment(), become)[0])
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
