"""Keys of the dashboard: links that work once, sessions, the token; host names; where a
request comes from."""

import os
import stat
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dashboard.web.access import LINK_SECONDS, Access, host_of, same_origin


@pytest.fixture
def access(tmp_path: Path) -> Access:
    """Keys in a folder of their own."""
    made = Access(tmp_path / "dashboard")
    made.prepare()
    return made


def test_a_link_works_once(access: Access) -> None:
    """The session it gives is known until it is left."""
    link = access.new_link()
    session = access.enter(link)
    assert session is not None
    assert access.enter(link) is None
    assert access.knows(session)
    access.leave(session)
    assert not access.knows(session)


def test_a_link_is_not_a_session_and_a_session_no_link(access: Access) -> None:
    """Each key opens one door."""
    link = access.new_link()
    assert not access.knows(link)
    session = access.enter(link) or ""
    assert access.enter(session) is None
    assert not access.is_token(session)


def test_an_old_link_is_refused(access: Access) -> None:
    """After a day."""
    link = access.new_link()
    (path,) = (access.folder / "links").iterdir()
    old = path.stat().st_mtime - LINK_SECONDS - 1
    os.utime(path, (old, old))
    assert access.enter(link) is None


@pytest.mark.parametrize(
    "text", ["", "x", "../token", "\udc80", "é" * 1000, "/etc/passwd"]
)
def test_nonsense_opens_nothing(access: Access, text: str) -> None:
    """Whatever is sent instead of a key."""
    assert access.enter(text) is None
    assert not access.knows(text)
    assert not access.is_token(text)
    assert not access.is_form_token("session", text)


def test_no_secret_is_on_disk_but_the_token_and_all_are_private(access: Access) -> None:
    """Mode 0600 in folders of 0700; links and sessions by their hashes."""
    link = access.new_link()
    session = access.enter(access.new_link()) or ""
    for path in access.folder.rglob("*"):
        assert stat.S_IMODE(path.stat().st_mode) == (
            0o700 if path.is_dir() else 0o600
        ), path
        assert link not in path.name + (path.read_text() if path.is_file() else "")
        assert session not in path.name + (path.read_text() if path.is_file() else "")
    assert access.is_token(access.token_path.read_text().strip())


def test_the_form_token_belongs_to_a_session(access: Access) -> None:
    """Another session's is refused."""
    assert access.is_form_token("a", Access.form_token("a"))
    assert not access.is_form_token("a", Access.form_token("b"))


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ("127.0.0.1:8765", "127.0.0.1"),
        ("LOCALHOST", "localhost"),
        ("[::1]:8765", "::1"),
        ("evil.example:8765", "evil.example"),
        ("localhost.:80", "localhost"),
        ("", ""),
        ("[::1", ""),
        ("user@localhost", "localhost"),
    ],
)
def test_host_names(header: str, name: str) -> None:
    """Without port, lower case."""
    assert host_of(header) == name


@given(st.text())
def test_any_host_header_is_read(header: str) -> None:
    """Without an error."""
    assert isinstance(host_of(header), str)


@pytest.mark.parametrize(
    ("headers", "ours"),
    [
        ({"Sec-Fetch-Site": "same-origin", "Origin": "http://127.0.0.1:8765"}, True),
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "http://127.0.0.1:8765"}, False),
        ({"Sec-Fetch-Site": "none"}, False),
        ({"Sec-Fetch-Site": "same-site", "Origin": "http://127.0.0.1:9999"}, False),
        ({"Origin": "http://127.0.0.1:8765"}, True),
        ({"Origin": "http://evil.example"}, False),
        ({"Origin": "null"}, False),
        ({}, False),
    ],
)
def test_only_a_page_of_ours_may_ask(headers: dict[str, str], ours: bool) -> None:
    """A browser says where a request comes from; who does not say it is not let
    through."""
    assert same_origin(headers, "127.0.0.1:8765") is ours
