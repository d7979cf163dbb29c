"""`python -m bookshelf` from its start to a signal, in this process."""

import json
import stat
from pathlib import Path

import pytest
import requests

from bookshelf.__main__ import main
from tests.support.servers.inprocess import Asked, call_beside, call_main, serve


def ask(record: Path) -> Asked:
    """What the login form answers, by the address in server.json."""

    def asking() -> None:
        url = json.loads(record.read_bytes())["url"]
        assert requests.get(f"{url}/login", timeout=20).status_code == 200

    return Asked(record, asking)


def test_it_serves_until_a_signal(tmp_path: Path) -> None:
    """It says where it listens; its files are private; status 0."""
    folder = tmp_path / "d"
    given = ["--data-dir", str(folder), "--port", "0"]
    code, said = serve(main, given, ask(folder / "server.json"))
    assert (code, said.startswith("bookshelf listening on http://127.0.0.1:")) == (
        0,
        True,
    )
    for name in ("credentials", "secrets.json", "bookshelf.db"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600


def test_a_second_server_on_the_same_data_is_refused(tmp_path: Path) -> None:
    """While the first one runs."""
    folder = tmp_path / "d"
    given = ["--data-dir", str(folder), "--port", "0"]
    refused: list[tuple[int, str]] = []

    def second() -> None:
        refused.append(start_again(given))

    assert serve(main, given, Asked(folder / "server.json", second))[0] == 0
    [(code, said)] = refused
    assert (code, f"{folder}: another server is running on it" in said) == (5, True)


def start_again(given: list[str]) -> tuple[int, str]:
    """The same program once more, in another thread: it must not get as far as
    signals."""
    return call_beside(main, given)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.write_bytes(b"no database" * 500), "is damaged"),
        (lambda path: path.mkdir(), "is a directory, not a file; move it away"),
    ],
    ids=["nonsense", "a directory"],
)
def test_a_database_that_cannot_be_used_is_named(
    tmp_path: Path, damage: object, words: str
) -> None:
    """With the way out; status 5."""
    folder = tmp_path / "d"
    folder.mkdir()
    assert callable(damage)
    damage(folder / "bookshelf.db")
    code, said = call_main(main, ["--data-dir", str(folder), "--port", "0"])
    assert code == 5
    assert f"cannot use {folder}: " in said
    assert words in said


def test_an_address_that_is_not_ours(tmp_path: Path) -> None:
    """Status 2."""
    given = ["--data-dir", str(tmp_path / "d"), "--host", "203.0.113.1", "--port", "0"]
    code, said = call_main(main, given)
    assert (code, said.startswith("cannot listen on 203.0.113.1:0: ")) == (2, True)


def test_wrong_usage() -> None:
    """No data directory; no such port."""
    assert call_main(main, [])[0] == 2
    assert call_main(main, ["--data-dir", "x", "--port", "70000"])[0] == 2
