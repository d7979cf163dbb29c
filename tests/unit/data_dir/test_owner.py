"""Owner and mode of what is placed beside the server's own files."""

import pytest

from migration.server.data_dir.owner import Owning, Status, Us, common, owning, problem

SERVER, OTHER, ROOT = 1000, 1001, 0
GROUP, PRIVATE = 100, 1001


def directory(mode: int, uid: int = SERVER) -> Status:
    """The server's books directory."""
    return Status("/data/books", uid, GROUP, 0o40000 | mode)


@pytest.mark.parametrize(
    ("mode", "uid", "made"),
    [
        (0o755, SERVER, Owning(0o755, 0o644)),
        (0o700, SERVER, Owning(0o700, 0o600)),
        (0o2775, SERVER, Owning(0o2775, 0o664)),
        (0o2775, OTHER, Owning(0o2775, 0o664)),
        (0o755, ROOT, Owning(0o755, 0o644, SERVER, GROUP)),
        (0o2775, ROOT, Owning(0o2775, 0o664, SERVER, GROUP)),
        (0o1777, SERVER, Owning(0o777, 0o666)),
    ],
)
def test_what_is_made_is_like_what_is_there(mode: int, uid: int, made: Owning) -> None:
    """Root gives it to the server's user; everybody else makes it his own."""
    assert owning(directory(mode), Us(uid, frozenset({PRIVATE, GROUP}))) == made


def test_root_gives_nothing_away_where_the_server_is_root() -> None:
    """As in a container."""
    assert owning(directory(0o755, ROOT), Us(ROOT, frozenset())) == Owning(0o755, 0o644)


@pytest.mark.parametrize(
    ("mode", "uid", "groups", "usable"),
    [
        (0o755, SERVER, {PRIVATE}, True),
        (0o755, ROOT, {PRIVATE}, True),
        (0o2775, OTHER, {GROUP}, True),
        (0o2755, OTHER, {GROUP}, False),
        (0o775, OTHER, {GROUP}, False),
        (0o2775, OTHER, {PRIVATE}, False),
        (0o777, OTHER, {PRIVATE}, False),
    ],
)
def test_another_user_needs_a_group_with_the_server(
    mode: int, uid: int, groups: set[int], usable: bool
) -> None:
    """The directory must be that group's, and what is made in it too."""
    said = problem(directory(mode), Us(uid, frozenset(groups)))
    assert (said == "") is usable
    if not usable:
        assert "user 1000" in said
        assert "user 1001" in said
        assert "chmod -R g+rwXs" in said


def test_directories_of_different_users_are_not_one_servers() -> None:
    """Each is named with its user."""
    books = directory(0o755)
    thumbs = Status("/data/thumbs", OTHER, GROUP, 0o40755)
    assert common([books, books]) == ""
    assert "/data/thumbs to user 1001" in common([books, thumbs])
