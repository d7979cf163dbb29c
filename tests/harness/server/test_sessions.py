"""Logins, refreshed tokens and ended sessions; the engine's answers to nonsense."""

import json
from typing import Any

import pytest
import requests

from tests.support.servers.shelf import Shelf
from tests.support.servers.shelfkit import Server, client


@pytest.fixture
def server(shelf: Shelf) -> Any:
    """A client that is logged in."""
    made = client(shelf)
    yield made
    made.http.close()


def tokens(server: Server) -> dict[str, str]:
    """Those of a new login."""
    body = {"username": server.username, "password": server.password}
    answer: dict[str, str] = requests.post(
        f"{server.url}/login", json=body, timeout=20
    ).json()
    return answer


def refresh(server: Server, token: object, header: str | None) -> requests.Response:
    """Asks for a new access token."""
    headers = {} if header is None else {"Authorization": header}
    body = {"refresh_token": token}
    return requests.post(f"{server.url}/login", json=body, headers=headers, timeout=20)


def test_a_token_is_refreshed(server: Server) -> None:
    """The new one is as good as the first."""
    first = tokens(server)
    answer = refresh(server, first["refresh_token"], f"bearer {first['access_token']}")
    assert set(answer.json()) == {"access_token"}
    headers = {"Authorization": f"bearer {answer.json()['access_token']}"}
    url = f"{server.url}/api/genres"
    assert requests.get(url, headers=headers, timeout=20).status_code == 200


@pytest.mark.parametrize(
    ("token", "header", "words"),
    [
        ("REFRESH", None, "Need authorization header to refresh token"),
        ("REFRESH", "basic x", "Invalid authorization header"),
        ("REFRESH", "bearer x", "Invalid token"),
        ("x", "bearer ACCESS", "Invalid refresh token"),
        (5, "bearer ACCESS", "Invalid refresh token"),
    ],
)
def test_what_refreshes_nothing(
    server: Server, token: object, header: str | None, words: str
) -> None:
    """400, with the reason."""
    found = tokens(server)
    given = found["refresh_token"] if token == "REFRESH" else token
    said = None if header is None else header.replace("ACCESS", found["access_token"])
    answer = refresh(server, given, said)
    assert (answer.status_code, words in answer.text) == (400, True), answer.text


@pytest.mark.parametrize("body", [{}, {"username": "admin"}, {"username": 5}])
def test_a_login_needs_a_name_and_a_password(server: Server, body: object) -> None:
    """Both as text."""
    answer = requests.post(f"{server.url}/login", json=body, timeout=20)
    assert (answer.status_code, "Provide credentials" in answer.text) == (400, True)


def test_logging_out_ends_a_browsers_session(server: Server, shelf: Shelf) -> None:
    """Only for a form of ours; a book or a page that is not there is told."""
    origin = {"Origin": shelf.url}
    with requests.Session() as browser:
        form = {"username": shelf.username, "password": shelf.password}
        browser.post(f"{shelf.url}/login", data=form, headers=origin, timeout=20)
        assert browser.get(f"{shelf.url}/", timeout=20).status_code == 200
        assert browser.get(f"{shelf.url}/book/99", timeout=20).status_code == 404
        far = browser.get(f"{shelf.url}/?page=9", allow_redirects=False, timeout=20)
        assert (far.status_code, far.headers["Location"]) == (302, "/")
        assert browser.get(f"{shelf.url}/style.css", timeout=20).status_code == 200
        evil = {"Origin": "http://evil.example"}
        path = f"{shelf.url}/logout"
        assert browser.post(path, headers=evil, timeout=20).status_code == 403
        browser.post(path, headers=origin, timeout=20)
        left = browser.get(f"{shelf.url}/", allow_redirects=False, timeout=20)
        assert (left.status_code, left.headers["Location"]) == (302, "/login")


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ([1], "not enough values to unpack (expected 3, got 1)"),
        ([1, "metadata", {"args": 5}], "Invalid message"),
        ([1, "metadata", 5], "Invalid message"),
        ([1, "explode", {"args": []}], "No task with name explode"),
        ([1, 5, {"args": []}], "No task with name 5"),
    ],
)
def test_a_call_of_the_engine_that_is_none(
    server: Server, call: list[object], said: str
) -> None:
    """What is no call at all gets no answer; everything else is told."""
    socket = server.socket()
    for nonsense in ("", "{}", "[]", "nonsense"):
        socket.send(nonsense)
    socket.send(json.dumps(call))
    assert json.loads(socket.recv()) == ["e", 1, said, None]
    socket.close()
