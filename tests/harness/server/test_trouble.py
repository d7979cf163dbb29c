"""The trouble that the embedded server can be told to have, as a client meets it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
import websocket

from tests.support.migration.workerkit import wait_for
from tests.support.servers.shelf import Shelf
from tests.support.servers.shelfkit import Server, client, epub


class Scene:
    """A server, a client that is logged in, and the file that says what is wrong."""

    def __init__(self, shelf: Shelf, path: Path) -> None:
        self.shelf, self._path = shelf, path
        self.server: Server = client(shelf)

    def has(self, words: str, sign: Callable[[], bool]) -> None:
        """This is wrong from now on; waits until the server knows."""
        self._path.write_text(words)
        wait_for(sign, seconds=20)

    def status(self, path: str = "/api/genres") -> int:
        """What a request is answered."""
        return self.server.call("GET", path).status_code

    def create(self) -> dict[str, Any]:
        """A new ebook, or what is told instead."""
        body = {"title": "x", "language": {"id": 2}}
        answer: dict[str, Any] = self.server.call("POST", "/api/ebooks", body).json()
        return answer


@pytest.fixture
def scene(tmp_path: Path, shelves: Callable[..., Shelf]) -> Any:
    """No trouble yet."""
    shelf = shelves(tmp_path / "shelf", "--trouble", str(tmp_path / "trouble"))
    made = Scene(shelf, tmp_path / "trouble")
    yield made
    made.server.http.close()


def test_the_database_is_away(scene: Scene) -> None:
    """REST is 500, a task tells it; when it is back, so is everything."""
    file = scene.server.upload(epub()).json()["file"]
    scene.has("database", lambda: scene.status() == 500)
    told = scene.server.task("metadata", file, {"title": "x"})
    assert (told["status"], "could not translate host name" in told["error"]) == (
        "error",
        True,
    )
    scene.has("", lambda: scene.status() == 200)
    assert scene.server.task("metadata", file, {"title": "x"})["status"] == "success"


def test_only_a_proxy_is_there(scene: Scene) -> None:
    """Its page for everything but the task engine."""
    scene.has("app", lambda: scene.status() == 502)
    assert requests.get(f"{scene.shelf.url}/login", timeout=20).status_code == 502
    scene.server.socket().close()


def test_the_engine_has_ended(scene: Scene) -> None:
    """Its connections are cut, new ones get the proxy's page."""
    waiting = scene.server.socket()
    scene._path.write_text("engine")
    with pytest.raises((websocket.WebSocketConnectionClosedException, ConnectionError)):
        while waiting.recv():
            pass
        raise ConnectionError("closed in an orderly way")
    waiting.shutdown()  # type: ignore[no-untyped-call]
    with pytest.raises(websocket.WebSocketBadStatusException):
        scene.server.socket()
    assert scene.status() == 200


ENDED = "server closed the connection unexpectedly"


@pytest.mark.parametrize(
    ("word", "made", "words"),
    [("insert", 0, ENDED), ("insert-kept", 1, ENDED), ("deadlock", 0, "deadlock")],
)
def test_a_connection_of_the_database_ends(
    scene: Scene, word: str, made: int, words: str
) -> None:
    """Once, before or after it has written; then all is well."""
    scene.has(f"{word}:1", lambda: True)
    told: dict[str, Any] = {}
    wait_for(lambda: "error" in told or bool(told.update(scene.create())), seconds=20)
    assert told["error"] == "Database error"
    assert words in told["error_details"]
    before = scene.server.call("GET", "/api/ebooks").json()["total"]
    assert "id" in scene.create()
    assert scene.server.call("GET", "/api/ebooks").json()["total"] == before + 1


def test_a_change_is_struck_once(scene: Scene) -> None:
    """Each ebook; a rating fails with a status of its own."""
    number = scene.create()["id"]

    def rate() -> int:
        path = f"/api/ebooks/{number}/rate"
        return scene.server.call("POST", path, {"rating": 50}).status_code

    scene.has("update:5", lambda: rate() == 500)
    assert rate() == 200
