"""An embedded server as a process."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import requests

from tests.support.environment import PASSWORD, PROJECT, USERNAME, clean_environment
from tests.support.servers.firstuser import seed


@dataclass(frozen=True, slots=True)
class Shelf:
    """A running embedded server."""

    url: str
    data_dir: Path
    process: "subprocess.Popen[str] | None"
    username: str = USERNAME
    password: str = PASSWORD

    @property
    def ws_url(self) -> str:
        """Its task engine."""
        return self.url.replace("http://", "ws://") + "/ws"

    def session(self) -> requests.Session:
        """A session that is logged in."""
        session = requests.Session()
        answer = session.post(
            f"{self.url}/login",
            json={"username": self.username, "password": self.password},
            timeout=20,
        )
        session.headers["Authorization"] = f"bearer {answer.json()['access_token']}"
        return session


def start_shelf(
    data_dir: Path, *options: str, port: int = 0, **environment: str
) -> Shelf:
    """Starts an embedded server and waits until it listens.

    A new one has its user already; hashing a password costs more than all the rest.
    """
    if not environment.keys() & {"MBS2_USERNAME", "MBS2_PASSWORD"}:
        seed(data_dir, USERNAME, PASSWORD)
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "bookshelf",
            "--data-dir",
            str(data_dir),
            "--port",
            str(port),
            *options,
        ],
        cwd=PROJECT,
        env=clean_environment(MBS2_PASSWORD=PASSWORD, **environment),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline()
    assert line.startswith("bookshelf listening on "), (
        f"the server did not start: {line!r}"
    )
    return Shelf(line.split()[-1], data_dir, process)
