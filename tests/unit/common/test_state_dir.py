"""Which state directory is meant: names, and the choice among those that are there."""

import shlex
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import StateDirUnclear
from common.state_dir import (
    EMBEDDED,
    Place,
    belonging,
    canonical_server,
    directory_name,
    meant,
    option,
    same_server,
    state_root,
)

HOME = "/home/ada"
SERVER = "http://nas:6006"


def place(name: str, *, used: int = 1, **more: object) -> Place:
    """One used on that day of a month."""
    values: dict[str, object] = {
        "library_id": "id-1",
        "library": "/books",
        "server": SERVER,
        "used_at": datetime(2026, 1, used, tzinfo=UTC),
    }
    # A test's own fields.
    return Place(Path("/state") / name, **{**values, **more})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("environment", "expected"),
    [
        ({"HOME": HOME}, "/home/ada/.local/state/calibre-to-mybookshelf2"),
        (
            {"HOME": HOME, "XDG_STATE_HOME": "/var/ada"},
            "/var/ada/calibre-to-mybookshelf2",
        ),
        ({"XDG_STATE_HOME": "/var/ada"}, "/var/ada/calibre-to-mybookshelf2"),
        (
            {"HOME": HOME, "XDG_STATE_HOME": "var"},
            "/home/ada/.local/state/calibre-to-mybookshelf2",
        ),
        (
            {"HOME": HOME, "XDG_STATE_HOME": ""},
            "/home/ada/.local/state/calibre-to-mybookshelf2",
        ),
        ({"HOME": "ada"}, None),
        ({"HOME": ""}, None),
        ({}, None),
    ],
    ids=[
        "home",
        "XDG_STATE_HOME",
        "XDG_STATE_HOME alone",
        "a relative one counts for nothing",
        "an empty one too",
        "a relative home",
        "an empty home",
        "no home",
    ],
)
def test_the_folder_of_all(environment: dict[str, str], expected: str | None) -> None:
    """Below the user's folder for state; nowhere without one."""
    assert state_root(environment) == (Path(expected) if expected else None)


@pytest.mark.parametrize(
    ("folder", "begin"),
    [
        ("Calibre", "Calibre-"),
        ("Calibre Library", "Calibre-Library-"),
        ("Книги", "Книги-"),
        ("../..", "library-"),
        ("a/b\n$(x)`;|", "b-x-"),
        ("-rf", "rf-"),
        (".hidden", "hidden-"),
        ("x" * 300, "x" * 40 + "-"),
        ("\udcff\udcfe", "library-"),
    ],
)
def test_names_of_directories(folder: str, begin: str) -> None:
    """The folder's name as far as it is safe everywhere, and eight digits."""
    name = directory_name(Path("/") / folder, "id-1", SERVER)
    assert name[:-8] == begin
    assert set(name[-8:]) <= set("0123456789abcdef")


TEXT = st.text(max_size=60)


@given(folder=TEXT, library_id=TEXT, server=TEXT)
def test_a_name_is_one_component_of_a_path(
    folder: str, library_id: str, server: str
) -> None:
    """Whatever the folder is called: no way out, not hidden, no option, not too
    long."""
    name = directory_name(Path("/" + folder), library_id, server)
    assert Path(name).name == name
    assert name[0] not in "-."
    assert len(name.encode()) <= 255
    assert not any(char.isspace() or ord(char) < 32 for char in name)
    assert name == directory_name(Path("/" + folder), library_id, server)


@given(st.tuples(TEXT, TEXT), st.tuples(TEXT, TEXT))
def test_digits_are_of_library_and_server(
    one: tuple[str, str], other: tuple[str, str]
) -> None:
    """Another library or server has other digits, wherever the library is."""
    first = directory_name(Path("/a"), *one)[-8:]
    assert first == directory_name(Path("/b/c"), *one)[-8:]
    if "\n" not in "".join([*one, *other]) and one != other:
        assert first != directory_name(Path("/a"), *other)[-8:]


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("http://nas:6006", "http://nas:6006"),
        ("http://nas:6006/", "http://nas:6006"),
        (" http://NAS:6006// ", "http://nas:6006"),
        ("HTTP://nas:80/", "http://nas"),
        ("https://nas:443/books/", "https://nas/books"),
        ("https://nas:80", "https://nas:80"),
        ("http://ada:secret@nas:6006/", "http://nas:6006"),
        ("http://[::1]:6006/", "http://[::1]:6006"),
        ("http://nas:port/", "http://nas:port"),
        ("http://[::1", "http://[::1"),
        ("nas/", "nas"),
        ("", ""),
    ],
)
def test_one_spelling_of_a_server(url: str, expected: str) -> None:
    """So that a slash or a capital letter begins nothing anew."""
    assert canonical_server(url) == expected


@given(st.text(max_size=40))
def test_the_spelling_is_stable(url: str) -> None:
    """Whatever is given: spelt again it is the same."""
    once = canonical_server(url)
    assert canonical_server(once) == once


MINE = place("mine")


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ([], None),
        ([MINE], "mine"),
        ([place("moved", library="/old")], "moved"),
        ([place("other library", library_id="id-2", library="/x")], None),
        ([place("other server", server="http://other")], None),
        ([place("embedded", server=EMBEDDED)], None),
        ([place("restored", library_id="id-2")], "restored"),
        ([place("restored", library_id="id-2", used=9), MINE], "mine"),
        ([MINE, place("newer", used=2)], "newer"),
        ([place("runs", runs=True), place("newer", used=2)], "runs"),
        ([place("no ledger yet", library_id="")], "no ledger yet"),
    ],
    ids=[
        "nothing",
        "its own",
        "the library was moved",
        "another library",
        "another server",
        "the embedded server",
        "Calibre restored the library",
        "the id counts more than the folder",
        "the one used last",
        "the one that runs",
        "a first start that failed",
    ],
)
def test_what_a_library_has_already(places: list[Place], expected: str | None) -> None:
    """By its id and the server; by its folder when the id is another one."""
    found = belonging(places, "/books", "id-1", SERVER)
    assert (found.state_dir.name if found else None) == expected


def test_what_a_command_means() -> None:
    """The one that runs, or else the last one used."""
    older, newer = place("older"), place("newer", used=2)
    running = place("running", used=1, runs=True)
    assert meant([], "x") is None
    assert meant([older, newer], "x") == newer
    assert meant([older, running, newer], "x") == running
    # A start that was refused, such as with a misspelt server, has bound nothing.
    refused = place("refused", used=3, library_id="")
    assert meant([older, refused, newer], "x") == newer
    assert meant([refused], "x") == refused


def test_several_that_run_are_listed_with_a_command_each() -> None:
    """Which a shell takes as it is, whatever the directory is called."""
    odd = place("it's one", runs=True, server=EMBEDDED)
    plain = place("plain", runs=True, used=2)
    with pytest.raises(StateDirUnclear) as refused:
        meant([odd, place("rests", used=9), plain], "./stop.sh")
    first, *lines = str(refused.value).splitlines()
    assert first.startswith("2 migrations run here")
    assert [shlex.split(line, comments=True) for line in lines] == [
        ["./stop.sh", "--state-dir", str(plain.state_dir)],
        ["./stop.sh", "--state-dir", str(odd.state_dir)],
    ]
    assert option(plain.state_dir) == "--state-dir /state/plain"
    assert "rests" not in str(refused.value)


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("http://localhost:6006", "http://127.0.0.1:6006/", True),
        ("http://[::1]:6006", "http://LOCALHOST:6006", True),
        ("http://localhost", "http://127.0.0.1:80", True),
        ("http://localhost:6006", "http://127.0.0.1:6007", False),
        ("http://localhost:6006", "https://127.0.0.1:6006", False),
        ("http://localhost:6006/a", "http://127.0.0.1:6006/b", False),
        ("http://nas:6006", "http://127.0.0.1:6006", False),
        ("http://nas:6006", "http://NAS:6006/", True),
        ("the embedded server", "the embedded server", True),
        ("the embedded server", "http://localhost:6006", False),
        ("", "http://localhost:6006", False),
    ],
)
def test_names_of_one_server(one: str, other: str, same: bool) -> None:
    assert same_server(one, other) is same_server(other, one) is same
