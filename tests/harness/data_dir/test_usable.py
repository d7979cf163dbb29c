"""Whether a data directory can be written by us and used by the server afterwards."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from migration.errors import DataDirUnusable
from migration.server.data_dir import usable
from migration.server.data_dir.places import Places
from migration.server.data_dir.usable import check
from tests.support.libraries.placekit import Site, mounted, remount


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A library and the server's directories."""
    return Site(tmp_path)


def test_a_directory_as_the_server_has_it_is_usable(site: Site) -> None:
    """Nothing of the probe stays, and what a killed one left is removed."""
    left = site.places.books / ".migration-probe"
    left.mkdir()
    (left / "probe").write_bytes(b"probe")
    check(site.places, 1000)
    assert site.below() == {}
    assert site.folders() == []


@pytest.mark.parametrize("name", ["books", "thumbs", "uploads"])
def test_a_directory_that_lacks_one_is_not_the_servers(site: Site, name: str) -> None:
    """Or has a file in its place."""
    place = site.data / name
    place.rmdir()
    with pytest.raises(DataDirUnusable, match=f"{name} cannot be used: No such file"):
        check(site.places, 0)
    place.touch()
    with pytest.raises(DataDirUnusable, match=f"{name} is not a directory"):
        check(site.places, 0)


def test_a_directory_that_is_mounted_read_only_is_refused(site: Site) -> None:
    """Which root's rights do not tell."""
    with mounted(site.data, "tmpfs", "size=1m"):
        site.make_places()
        remount(site.data, "ro")
        with pytest.raises(DataDirUnusable, match="mounted read-only"):
            check(site.places, 0)


def test_a_directory_on_another_hosts_disk_is_refused(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is placed there cannot be synced from here."""
    monkeypatch.setattr(usable, "network_file_system", lambda _path: "nfs4")
    with pytest.raises(DataDirUnusable, match=r"another host's disk \(nfs4\)"):
        check(site.places, 0)


def test_too_little_space_is_said_with_both_figures(site: Site) -> None:
    """Where Calibre's blocks cannot be shared."""
    path = site.library / os.fsdecode(site.file("a", b"x" * 5000))
    with path.open("rb") as sample:
        if usable._probe(site.places.books, sample):
            pytest.skip("this file system shares blocks, so that nothing is needed")
        with pytest.raises(DataDirUnusable, match="MiB, and 1,099,511,627,776 MiB"):
            check(site.places, 2**60, sample)


def as_another(user: int, groups: list[int], places: Places) -> str:
    """What the check says in a process of this user."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        said = "it did not come to an end"
        try:
            os.setgroups(groups)
            os.setresgid(user, user, user)
            os.setresuid(user, user, user)
            check(places, 0)
            said = ""
        except DataDirUnusable as error:
            said = str(error)
        finally:
            os.write(writing, said.encode())
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as told:
        said = told.read().decode()
    os.waitpid(child, 0)
    return said


@pytest.fixture
def open_site() -> Iterator[Site]:
    """One whose folders other users may enter."""
    with tempfile.TemporaryDirectory() as name:
        Path(name).chmod(0o755)
        yield Site(Path(name) / "site")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_other_users_are_told_what_they_lack(open_site: Site) -> None:
    """A user of neither the server nor its group; then with the group; then it."""
    server, group, other = 12_345, 23_456, 34_567
    places = open_site.places
    for place in (places.books, places.thumbnails, places.uploads):
        os.chown(place, server, group)
        place.chmod(0o2775)
    said = as_another(other, [], places)
    assert f"belongs to user {server}" in said
    assert f"runs as user {other}" in said
    assert as_another(other, [group], places) == ""
    assert as_another(server, [], places) == ""
    assert open_site.folders() == []
    places.thumbnails.chmod(0o555)
    assert "thumbs cannot be written to" in as_another(server, [], places)
    os.chown(places.thumbnails, other, group)
    assert "belong to different users" in as_another(server, [], places)
