"""The server under test: any that MBS2_CONTRACT_URL names, or an embedded one started
here."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.environment import PASSWORD, USERNAME, end
from tests.support.servers.firstuser import seed
from tests.support.servers.shelf import start_shelf
from tests.support.servers.shelfkit import Server

#: Who has the role user only, on an embedded server.
READER = "reader"


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
    seed(data_dir, USERNAME, PASSWORD, users=(READER,))
    # A task takes a while, as on the real server: whoever hangs up after the call was
    # accepted has hung up by its end.
    shelf = start_shelf(data_dir, "--task-ms", "100")
    made = Server(shelf.url, shelf.ws_url, shelf.username, shelf.password)
    made.login()
    yield made
    made.http.close()
    end(shelf.process)


@pytest.fixture(scope="session")
def reader(server: Server) -> Iterator[Server]:
    """The same server for a user without the role superuser."""
    given = "MBS2_CONTRACT_URL" in os.environ
    name = os.environ.get("MBS2_CONTRACT_READER") if given else READER
    if name is None:
        pytest.skip("MBS2_CONTRACT_READER names no user without the role superuser")
    password = os.environ["MBS2_CONTRACT_READER_PASSWORD"] if given else PASSWORD
    made = Server(server.url, server.ws_url, name, password)
    made.login()
    yield made
    made.http.close()
