"""A dashboard that listens, and those who ask it."""

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import requests

from common.json_value import Json
from dashboard.web.access import Access
from tests.support.environment import PROJECT, clean_environment


@dataclass(frozen=True, slots=True)
class Running:
    """A dashboard that listens."""

    url: str
    state: Path

    def link(self) -> str:
        """A link that works once."""
        secret = Access(self.state / "dashboard").new_link()
        return f"{self.url}/enter?link={secret}"

    def bearer(self) -> dict[str, str]:
        """The header of a script that has the token."""
        return {
            "Authorization": f"Bearer {(self.state / 'dashboard' / 'token').read_text().strip()}"
        }

    def visitor(self) -> "Visitor":
        """Somebody who has come in by a link, as a browser does."""
        session = requests.Session()
        page = session.get(self.link(), timeout=30)
        assert page.status_code == 200, page.text
        match = re.search(r'name="form-token" content="(\w+)"', page.text)
        assert match is not None
        return Visitor(self.url, session, match[1])


@dataclass(frozen=True, slots=True)
class Started(Running):
    """One that is a process."""

    process: "subprocess.Popen[str]"


@dataclass(frozen=True, slots=True)
class Visitor:
    """A browser with its cookie, and the token of its page."""

    url: str
    session: requests.Session
    token: str

    def get(self, path: str) -> requests.Response:
        """A page or its data."""
        return self.session.get(self.url + path, timeout=30)

    def post(self, value: Json, **headers: str | None) -> requests.Response:
        """A command, with the headers a browser sends; None takes one away."""
        sent: dict[str, str | None] = {
            "X-Form-Token": self.token,
            "Sec-Fetch-Site": "same-origin",
            "Origin": self.url,
        }
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        return self.session.post(
            self.url + "/api/commands", json=value, headers=sent, timeout=30
        )


def start_board(state: Path, *options: str) -> Started:
    """Starts a dashboard on a free port and waits until it listens."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "dashboard",
            "--state-dir",
            str(state),
            "--port",
            "0",
            *options,
        ],
        cwd=PROJECT,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    line = process.stdout.readline().strip()
    assert line.startswith("dashboard listening on http://127.0.0.1:"), line
    assert "link=" not in line, "a link is a secret and does not belong into a file"
    return Started(line.split()[-1], state, process)
