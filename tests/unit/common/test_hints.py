"""Commands that people are told to type."""

import shlex
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import hints
from common.hints import hint


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout in a folder with a blank and a quote, called from within."""
    folder = tmp_path / "Anna's clone"
    folder.mkdir()
    (folder / "migrate").touch()
    monkeypatch.setattr(hints, "PROJECT", folder)
    monkeypatch.delenv(hints.COMMAND, raising=False)
    monkeypatch.setattr(hints, "_called_from", str(folder))
    return folder


def test_in_the_checkout(checkout: Path) -> None:
    """The two buttons have scripts of their own."""
    assert hint("stop") == "./stop.sh"
    assert hint("start", "--library", "/my books") == "./start.sh --library '/my books'"
    state_dir = Path("/a folder")
    assert hint("status", state_dir=state_dir) == (
        "./migrate status --state-dir '/a folder'"
    )


def test_from_elsewhere(
    checkout: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its full path, quoted; also when the folder is gone."""
    for folder in (tmp_path, tmp_path / "gone"):
        monkeypatch.setattr(hints, "_called_from", str(folder))
        assert shlex.split(hint("stop")) == [str(checkout / "stop.sh")]
        words = [str(checkout / "migrate"), "resume", "2"]
        assert shlex.split(hint("resume", "2")) == words
    # Who was not called by a script is where it is.
    monkeypatch.setattr(hints, "_called_from", "")
    monkeypatch.chdir(checkout)
    assert hint("stop") == "./stop.sh"


def test_installed(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is one command; another can be named for containers."""
    (checkout / "migrate").unlink()
    assert hint("stop", "--all") == "calibre-to-mbs2 stop --all"
    monkeypatch.setenv(hints.COMMAND, "docker compose exec migrator mbs2")
    assert hint("resume", "2") == "docker compose exec migrator mbs2 resume 2"
    # Compose starts and stops what is in containers; its .env says what, and where.
    state_dir = Path("/state")
    assert hint("stop", state_dir=state_dir) == "docker compose stop"
    page = hint("dashboard", state_dir=state_dir)
    assert page == "docker compose up -d dashboard"
    words = ["--library", "/library", "--server", "http://bookshelf:6006"]
    assert hint("start", *words, state_dir=state_dir) == "docker compose up -d"
    assert hint("start", *words, "--prefer", "calibre") == (
        "MIGRATOR_OPTIONS='--prefer calibre' docker compose up -d"
    )


@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1))
def test_any_path_can_be_pasted(name: str) -> None:
    """Whatever is in it, the shell reads one word."""
    state_dir = Path("/state") / name
    words = shlex.split(hint("stop", "--monitor-only", state_dir=state_dir))
    assert words[1:] == ["--monitor-only", "--state-dir", str(state_dir)]
