"""Where the ledger may be kept."""

from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path

import pytest

from migration.errors import StateUnwritable
from migration.ledger.database import LedgerDatabase, refuse_network_file_system

MOUNTS = {
    "/": "ext4",
    "/nfs": "nfs4",
    "/nfs/local": "xfs",
    "/share": "cifs",
    "/tmp": "tmpfs",
}


@pytest.mark.parametrize("place", ["/nfs", "/nfs/state", "/share/a/b"])
def test_a_network_share_is_refused(place: str) -> None:
    """With the kind of file system and the way out."""
    with pytest.raises(
        StateUnwritable, match=r"network file system .* --state-dir on a local disk"
    ):
        refuse_network_file_system(Path(place), MOUNTS)


@pytest.mark.parametrize("place", ["/", "/home/x", "/nfs/local/state", "/tmp/y"])
def test_a_local_disk_is_fine(place: str) -> None:
    """Also one that is mounted below a share."""
    refuse_network_file_system(Path(place), MOUNTS)


def _open_together(together: Barrier, directory: Path, rounds: int) -> None:
    """What one process of several does: opens each new ledger at the same moment as the
    others."""
    for number in range(rounds):
        together.wait(timeout=60)
        LedgerDatabase(directory / f"{number}.db").close()


def test_processes_that_make_the_ledger_at_the_same_moment(tmp_path: Path) -> None:
    """SQLite refuses one of two that turn a new file to WAL at once, without any wait:
    it is asked again."""
    processes = get_context("spawn")
    together = processes.Barrier(4)
    openers = [
        processes.Process(target=_open_together, args=(together, tmp_path, 50))
        for _ in range(4)
    ]
    for opener in openers:
        opener.start()
    for opener in openers:
        opener.join(120)
    assert [opener.exitcode for opener in openers] == [0] * 4
