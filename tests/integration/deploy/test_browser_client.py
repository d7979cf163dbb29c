"""The browser client of MyBookshelf2, as `deploy/server/uwsgi.ini` serves it."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.support.environment import PROJECT, clean_environment, end
from tests.support.migration.workerkit import wait_for

pytestmark = pytest.mark.integration
SERVER = PROJECT / "deploy" / "server"
PAGE = SERVER / "client" / "index.html"
APPLICATION = """
def app(environ, start_response):
    start_response("404 NOT FOUND", [("Content-Type", "text/plain")])
    return [b"of the application"]
"""


def ours(folder: Path) -> list[str]:
    """What uwsgi.ini says about the client, with another folder for it."""
    lines = (SERVER / "uwsgi.ini").read_text("utf-8").splitlines()
    about = [
        line for line in lines if re.match(r"(route-uri = \^/client|static-)", line)
    ]
    assert len(about) == 3
    return [line.replace("=/client", f"={folder}") for line in about]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """uwsgi with these lines: its URL, and the client's folder."""
    folder = tmp_path / "client"
    folder.mkdir()
    (folder / "index.html").write_bytes(PAGE.read_bytes())
    (tmp_path / "app.py").write_text(APPLICATION)
    (tmp_path / "uwsgi.ini").write_text(
        "\n".join(
            [
                "[uwsgi]",
                "http-socket = 127.0.0.1:0",
                f"chdir = {tmp_path}",
                "wsgi-file = app.py",
                "callable = app",
                "master = true",
                "die-on-term = true",
                *ours(folder),
            ]
        )
    )
    said = tmp_path / "said"
    with said.open("wb") as log:
        process = subprocess.Popen(
            [
                str(Path(sys.executable).with_name("uwsgi")),
                "--ini",
                str(tmp_path / "uwsgi.ini"),
            ],
            env=clean_environment(),
            stdout=log,
            stderr=log,
            text=True,
        )
    try:
        bound = re.compile(r"bound to TCP address (127\.0\.0\.1:\d+)")
        wait_for(lambda: "spawned uWSGI worker" in said.read_text())
        match = bound.search(said.read_text())
        assert match is not None
        yield f"http://{match[1]}", folder
    finally:
        end(process)


def test_the_client_is_served(server: tuple[str, Path]) -> None:
    """With the kinds a browser asks for; nothing outside the folder, and the rest is the
    application's."""
    url, folder = server
    (folder / "index.html").write_text("<title>the client</title>")
    (folder / "dist").mkdir()
    (folder / "dist" / "app.js").write_text("let it = 'run'")
    (folder.parent / "secret").write_text("secret")
    for path in ("/client/", "/client"):
        found = requests.get(url + path, timeout=10)
        assert (found.status_code, found.text) == (200, "<title>the client</title>")
        assert found.url == f"{url}/client/"
        assert found.headers["Content-Type"].startswith("text/html")
    script = requests.get(f"{url}/client/dist/app.js", timeout=10)
    assert "javascript" in script.headers["Content-Type"]
    assert requests.get(f"{url}/", timeout=10).text == "of the application"
    for path in ("/client/none.js", "/client/%2e%2e/secret", "/clients/"):
        assert requests.get(url + path, timeout=10).text == "of the application"


def test_without_a_client_there_is_a_page_that_says_how(
    server: tuple[str, Path],
) -> None:
    """It names the setting."""
    found = requests.get(f"{server[0]}/client/", timeout=10)
    assert (found.status_code, "MBS2_CLIENT=" in found.text) == (200, True)
    assert found.content == PAGE.read_bytes()


def test_the_page_says_what_the_docs_say() -> None:
    """The same commands."""
    docs = (PROJECT / "docs" / "deployment.md").read_text("utf-8")
    page = PAGE.read_text("utf-8").replace("&amp;", "&")
    for command in re.findall(r"^(?:docker|cd|    sh) .*?$", page, re.MULTILINE):
        assert command.removesuffix("</code></pre>") in docs
    assert "npm install && jspm install" in page
    assert "MBS2_CLIENT=/srv/mybookshelf2/client/export" in docs
