"""The embedded server's own small files damaged: its login, its secrets, and what it is
found by."""

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from bookshelf.access.tokens import Tokens
from bookshelf.access.users import User, first_user
from bookshelf.storage.database import Database
from bookshelf.storage.server_record import RecordUnwritable, ServerRecord
from migration.errors import LoginFileUnusable
from migration.state_files.embedded import login as login_of

USER = User(1, "somebody", "somebody@localhost", "admin")


def directory(path: Path) -> None:
    """A directory with something in it has its name."""
    path.unlink()
    path.mkdir()
    (path / "a file").write_text("x")


HARM: dict[str, Callable[[Path], object]] = {
    "cut": lambda path: os.truncate(path, 0),
    "overwritten": lambda path: path.write_bytes(b"\xa5" * 64),
    "half": lambda path: path.write_bytes(path.read_bytes()[:12]),
    "deleted": Path.unlink,
}


@pytest.mark.parametrize("harm", HARM)
def test_damaged_secrets_are_made_anew(
    tmp_path: Path, harm: str, caplog: pytest.LogCaptureFixture
) -> None:
    """With a word; tokens of before are worth nothing."""
    token = Tokens(tmp_path, {}).access(USER, 4e9)
    path = tmp_path / "secrets.json"
    HARM[harm](path)
    tokens = Tokens(tmp_path, {})
    assert tokens.user_id(token) is None
    assert ("secrets.json was damaged" in caplog.text) == (harm != "deleted")
    kept = json.loads(path.read_text())
    assert Tokens(tmp_path, {}).user_id(tokens.access(USER, 4e9)) == USER.id
    assert json.loads(path.read_text()) == kept


@pytest.mark.parametrize(
    ("harm", "sentence"),
    [
        ("cut", "is damaged"),
        ("overwritten", "is damaged"),
        ("half", "is damaged"),
        ("deleted", "is gone"),
    ],
)
def test_a_lost_login_is_named_and_given_again(
    tmp_path: Path, harm: str, sentence: str
) -> None:
    """By a password in the environment, be it the old one."""
    login = {"MBS2_USERNAME": "admin", "MBS2_PASSWORD": "correct horse"}
    credentials = tmp_path / "credentials"
    database = Database(tmp_path / "bookshelf.db", permissive=False)
    try:
        database.write_now(
            lambda db: first_user(db, tmp_path, "admin", "correct horse")
        )
        assert login_of(tmp_path).settings() == login
        HARM[harm](credentials)
        database.write_now(lambda db: first_user(db, tmp_path, "admin", ""))
        with pytest.raises(
            LoginFileUnusable,
            match=f"credentials, the login .*{sentence}.*MBS2_PASSWORD=… ./start.sh",
        ):
            login_of(tmp_path)
        database.write_now(
            lambda db: first_user(db, tmp_path, "admin", "correct horse")
        )
        assert login_of(tmp_path).settings() == login
        assert credentials.stat().st_mode & 0o777 == 0o600
    finally:
        database._watch.close()


def test_a_directory_in_place_of_the_login_is_named(tmp_path: Path) -> None:
    """It has to be moved away first."""
    (tmp_path / "credentials").mkdir()
    with pytest.raises(LoginFileUnusable, match="is a directory: move it away"):
        login_of(tmp_path)


@pytest.fixture
def record(tmp_path: Path) -> Iterator[ServerRecord]:
    """The record of a server that holds the lock."""
    lock = os.open(tmp_path / "lock", os.O_RDWR | os.O_CREAT, 0o600)
    yield ServerRecord(tmp_path, b'{"url": "http://127.0.0.1:1"}', lock)
    os.close(lock)


@pytest.mark.parametrize("harm", HARM)
def test_the_record_is_kept(
    tmp_path: Path, record: ServerRecord, harm: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Damaged or deleted it is written again; a sound one is left alone."""
    record.write()
    path = tmp_path / "server.json"
    inode = path.stat().st_ino
    record.keep()
    assert (path.stat().st_ino, caplog.text) == (inode, "")
    HARM[harm](path)
    record.keep()
    assert path.read_bytes() == b'{"url": "http://127.0.0.1:1"}'
    assert "it is written again" in caplog.text


def test_a_record_that_cannot_be_written_is_told_once(
    tmp_path: Path, record: ServerRecord, caplog: pytest.LogCaptureFixture
) -> None:
    """And leaves nothing behind at each try; it comes back as soon as it can."""
    record.write()
    path = tmp_path / "server.json"
    directory(path)
    record.keep()
    record.keep()
    assert caplog.text.count("cannot be written again") == 1
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["lock", "server.json"]
    with pytest.raises(RecordUnwritable):
        record.write()
    path.rename(tmp_path / "away")
    record.keep()
    assert path.is_file()


def test_the_record_of_another_server_is_left_alone(
    tmp_path: Path, record: ServerRecord
) -> None:
    """The data directory was moved away, and another server made one at its path."""
    (tmp_path / "lock").unlink()
    (tmp_path / "lock").touch()
    (tmp_path / "server.json").write_text("another's")
    record.keep()
    assert (tmp_path / "server.json").read_text() == "another's"
