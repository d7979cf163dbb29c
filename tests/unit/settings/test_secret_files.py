"""Secrets in files, wherever the name of the file comes from."""

from pathlib import Path

import pytest

import settings as of_server
from common.settings.load import WrongSetting, load, sources
from common.settings.monitor import MonitorSettings
from common.settings.secret_files import LONGEST
from common.settings.worker import WorkerSettings
from deploy.host.children import environment_for

PASSWORD = " two $words #and 'more' "


def given(tmp_path: Path, data: bytes | None) -> dict[str, str]:
    """The environment that names a file with these bytes."""
    place = tmp_path / "secret"
    if data is not None:
        place.write_bytes(data)
    return {"MBS2_PASSWORD_FILE": str(place)}


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_the_secret_is_the_line_as_it_stands(tmp_path: Path, end: str) -> None:
    """Blanks, quotes, $ and # belong to it."""
    found = sources(tmp_path, given(tmp_path, (PASSWORD + end).encode()))
    assert load(WorkerSettings, found).password == PASSWORD


#: What the file holds, None if there is none; what is said.
WRONG = [
    (None, "cannot be read: No such file or directory"),
    (b"", "is empty"),
    (b" \n", "is empty"),
    (b"\xff", "is not text in UTF-8"),
    (b"one\ntwo\n", "has more than one line"),
    (b"x" * (LONGEST + 1), "has more than one line"),
]


@pytest.mark.parametrize(("data", "said"), WRONG)
def test_a_file_without_a_secret(tmp_path: Path, data: bytes | None, said: str) -> None:
    """A line that names variable, file and source; the content is not shown."""
    environment = given(tmp_path, data)
    with pytest.raises(WrongSetting) as caught:
        sources(tmp_path, environment)
    assert str(caught.value).startswith(f"MBS2_PASSWORD_FILE={tmp_path}/secret {said}")
    assert str(caught.value).endswith("; it comes from the environment")


def test_a_home_that_nobody_has(tmp_path: Path) -> None:
    """A sentence as well."""
    place = "~nobody-has-this-name/secret"
    with pytest.raises(
        WrongSetting, match="=~nobody-has-this-name/secret cannot be read"
    ):
        sources(tmp_path, {"MBS2_PASSWORD_FILE": place})


def test_both_given(tmp_path: Path) -> None:
    """By one source: nobody knows which is meant. An empty text is no value."""
    environment = given(tmp_path, b"in the file\n")
    with pytest.raises(WrongSetting, match="is set, and so is MBS2_PASSWORD; leave"):
        sources(tmp_path, {**environment, "MBS2_PASSWORD": "x"})
    found = sources(tmp_path, {**environment, "MBS2_PASSWORD": ""})
    assert load(WorkerSettings, found).password == "in the file"
    assert load(WorkerSettings, sources(tmp_path, {"MBS2_PASSWORD_FILE": ""})) == (
        WorkerSettings()
    )


def test_the_first_source_that_has_either_counts(tmp_path: Path) -> None:
    """Relative paths in .env are the project's."""
    (tmp_path / "secret").write_text("in the file\n", "utf-8")
    (tmp_path / ".env").write_text("MBS2_PASSWORD_FILE=secret\n", "utf-8")
    assert load(WorkerSettings, sources(tmp_path, {})).password == "in the file"
    found = sources(tmp_path, {"MBS2_PASSWORD": "mine"})
    assert load(WorkerSettings, found).password == "mine"


def test_programs_are_handed_the_secret_and_not_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may not be able to read it, and would be told of both."""
    (tmp_path / "key").write_text("sk-1\n", "utf-8")
    monkeypatch.setenv("OPENAI_API_KEY_FILE", str(tmp_path / "key"))
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    found = sources(tmp_path, {"OPENAI_API_KEY_FILE": str(tmp_path / "key")})
    told = environment_for(found, MonitorSettings)
    assert told["OPENAI_API_KEY"] == "sk-1"
    assert "OPENAI_API_KEY_FILE" not in told


#: Of the server: what is set, what its settings say.
SERVER = [
    ({"MBS2_DB_PASSWORD": "x"}, ""),
    ({}, ""),
    (
        {"MBS2_SECRET_KEY": "k" * 40},
        "MBS2_SECRET_KEY and MBS2_SECRET_KEY_FILE are both",
    ),
    (
        {"MBS2_SECRET_KEY_FILE": "/nonexistent"},
        "MBS2_SECRET_KEY_FILE=/nonexistent cannot",
    ),
    ({"MBS2_SECRET_KEY_FILE": "/dev/null"}, "MBS2_SECRET_KEY_FILE=/dev/null is empty"),
]


@pytest.mark.parametrize(("more", "said"), SERVER)
def test_the_servers_secrets(
    more: dict[str, str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In files each, as Docker mounts them; what is wrong is said as the server starts."""
    texts = {
        "MBS2_SECRET_KEY": "a" * 40,
        "MBS2_SECRET_KEY2": "b" * 40,
        "MBS2_DELEGATED_TOKEN": "c" * 40,
        "MBS2_DB_PASSWORD": "pass$word#1",
    }
    for name, text in texts.items():
        monkeypatch.delenv(name, raising=False)
        (tmp_path / name).write_text(f"{text}\n", "utf-8")
        if name not in more or said:
            monkeypatch.setenv(f"{name}_FILE", str(tmp_path / name))
    for name, text in more.items():
        monkeypatch.setenv(name, text)
    monkeypatch.delenv("MBS2_DB_URI", raising=False)
    asked = ("SECRET_KEY", "DB_PASSWORD")
    if said:
        with pytest.raises(SystemExit, match=f"(?s)MyBookshelf2 cannot start:.*{said}"):
            getattr(of_server, asked[0])
        return
    password = more.get("MBS2_DB_PASSWORD", texts["MBS2_DB_PASSWORD"])
    assert [getattr(of_server, name) for name in asked] == ["a" * 40, password]
