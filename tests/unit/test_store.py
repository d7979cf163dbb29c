"""Where the ledger may be kept."""

from pathlib import Path

import pytest

from migration.errors import StateUnwritable
from migration.store import refuse_network_file_system

MOUNTS = {"/": "ext4", "/nfs": "nfs4", "/nfs/local": "xfs", "/share": "cifs", "/tmp": "tmpfs"}


@pytest.mark.parametrize("place", ["/nfs", "/nfs/state", "/share/a/b"])
def test_a_network_share_is_refused(place: str) -> None:
    """With the kind of file system and the way out."""
    with pytest.raises(StateUnwritable, match=r"network file system .* --state-dir on a local disk"):
        refuse_network_file_system(Path(place), MOUNTS)


@pytest.mark.parametrize("place", ["/", "/home/x", "/nfs/local/state", "/tmp/y"])
def test_a_local_disk_is_fine(place: str) -> None:
    """Also one that is mounted below a share."""
    refuse_network_file_system(Path(place), MOUNTS)
