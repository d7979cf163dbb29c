"""Login and tokens."""

import base64
import json

import pytest
import requests
import websocket

from tests.support.servers.shelfkit import TIMEOUT, Server

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("contract")]


def login(server: Server, **body: str) -> requests.Response:
    """POST /login."""
    return requests.post(f"{server.url}/login", json=body, timeout=TIMEOUT)


def test_a_login_gives_two_tokens_and_the_access_token_says_when_it_ends(
    server: Server,
) -> None:
    """The claims name the user's id and an expiry; they are how the worker renews in
    time."""
    answer = login(server, username=server.username, password=server.password)
    assert answer.status_code == 200
    assert set(answer.json()) == {"access_token", "refresh_token"}
    payload = answer.json()["access_token"].split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    assert isinstance(claims["exp"], int)
    assert claims["user_name"] == server.username
    assert "user" in claims["roles"]


def test_a_wrong_password_is_http_200_with_an_error(server: Server) -> None:
    """The error is in the body, not in the status."""
    answer = login(server, username=server.username, password="certainly not this")
    assert (answer.status_code, answer.json()) == (200, {"error": "Invalid Login"})


def test_a_missing_password_is_refused(server: Server) -> None:
    """HTTP 400."""
    assert login(server, username=server.username).status_code == 400


def test_a_refresh_token_gives_a_new_access_token(server: Server) -> None:
    """With the old access token in the header."""
    tokens = login(server, username=server.username, password=server.password).json()
    answer = requests.post(
        f"{server.url}/login",
        json={"refresh_token": tokens["refresh_token"]},
        timeout=TIMEOUT,
        headers={"Authorization": f"Bearer {tokens['access_token']}"},
    )
    assert answer.status_code == 200
    assert set(answer.json()) == {"access_token"}


@pytest.mark.parametrize(
    "header",
    [{}, {"Authorization": "bearer nonsense"}, {"Authorization": "Basic Zm9v"}],
)
@pytest.mark.parametrize("path", ["/api/languages", "/api/ebooks/1"])
def test_without_a_valid_token_the_api_answers_401(
    server: Server, header: dict[str, str], path: str
) -> None:
    """Whatever is wrong with the token."""
    assert (
        requests.get(server.url + path, headers=header, timeout=TIMEOUT).status_code
        == 401
    )


def test_the_scheme_is_case_insensitive(server: Server) -> None:
    """`bearer` and `Bearer`."""
    for scheme in ("bearer", "Bearer"):
        header = {"Authorization": f"{scheme} {server.token}"}
        assert (
            requests.get(
                f"{server.url}/api/genres", headers=header, timeout=TIMEOUT
            ).status_code
            == 200
        )


def test_the_task_engine_refuses_a_wrong_token(server: Server) -> None:
    """HTTP 401 instead of the upgrade."""
    with pytest.raises(websocket.WebSocketBadStatusException) as refused:
        websocket.create_connection(f"{server.ws_url}?token=nonsense", timeout=TIMEOUT)
    assert refused.value.status_code == 401
