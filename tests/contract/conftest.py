"""The server under test: any that MBS2_CONTRACT_URL names, or an embedded one started
here."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.environment import end
from tests.support.servers.shelf import start_shelf
from tests.support.servers.shelfkit import Server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with a user logged in."""
    url = os.environ.get("MBS2_CONTRACT_URL")
    if url:
        ws_url = (
            os.environ.get("MBS2_CONTRACT_WS")
            or url.replace("http", "ws", 1).rstrip("/") + "/ws"
        )
        made = Server(
            url.rstrip("/"),
            ws_url,
            os.environ["MBS2_CONTRACT_USER"],
            os.environ["MBS2_CONTRACT_PASSWORD"],
        )
        made.login()
        yield made
        made.http.close()
        return
    data_dir: Path = tmp_path_factory.mktemp("contract")
    # A task takes a while, as on the real server: whoever hangs up after the call was
    # accepted has hung up by its end.
    shelf = start_shelf(data_dir, "--task-ms", "100")
    made = Server(shelf.url, shelf.ws_url, shelf.username, shelf.password)
    made.login()
    yield made
    made.http.close()
    end(shelf.process)
