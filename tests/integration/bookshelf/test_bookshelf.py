"""The embedded server as a process: durability, limits, uniqueness, pages."""

import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import requests

from tests.support.environment import PROJECT, clean_environment
from tests.support.servers.shelf import Shelf
from tests.support.servers.shelfkit import client, epub

pytestmark = pytest.mark.integration


def test_what_was_acknowledged_survives_kill_9(
    tmp_path: Path, shelves: Callable[..., Shelf]
) -> None:
    """Killed right after the answer to add-upload: ebook, source and bytes are there
    after the restart."""
    first = shelves(tmp_path / "shelf")
    server = client(first)
    data = epub()
    ebook_id, source_id = server.with_file(data, title="Durable")
    assert first.process is not None
    os.kill(first.process.pid, signal.SIGKILL)
    first.process.wait(10)
    server.http.close()
    again = client(shelves(tmp_path / "shelf"))
    assert again.call("GET", f"/api/ebooks/{ebook_id}").json()["title"] == "Durable"
    assert again.call("GET", f"/api/download/{source_id}").content == data
    assert again.check(data) == {"error": "file already exists"}
    again.http.close()


def test_a_body_over_the_limit_is_413(
    tmp_path: Path, shelves: Callable[..., Shelf]
) -> None:
    """The limit of settings.py, from the environment."""
    server = client(shelves(tmp_path / "small", MAX_CONTENT_LENGTH="100000"))
    answer = server.upload(b"x" * 100_001)
    server.http.close()
    assert answer.status_code == 413


def test_one_server_per_data_directory(shelf: Shelf) -> None:
    """The second is refused with a sentence and status 5."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "bookshelf",
            "--data-dir",
            str(shelf.data_dir),
            "--port",
            "0",
        ],
        cwd=PROJECT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, "another server is running on it" in done.stderr) == (
        5,
        True,
    )


def test_the_login_is_in_a_private_file(tmp_path: Path) -> None:
    """Generated when none was given; mode 0600; the server ends on SIGTERM with 0."""
    process = subprocess.Popen(
        [
            sys.executable,
            "-m",
            "bookshelf",
            "--data-dir",
            str(tmp_path / "d"),
            "--port",
            "0",
        ],
        cwd=PROJECT,
        env=clean_environment(),
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    url = process.stdout.readline().split()[-1]
    credentials = tmp_path / "d" / "credentials"
    lines = dict(line.split("=", 1) for line in credentials.read_text().splitlines())
    answer = requests.post(f"{url}/login", json=lines, timeout=30)
    process.terminate()
    assert process.wait(10) == 0
    process.stdout.close()
    assert "access_token" in answer.json()
    for name in ("credentials", "secrets.json"):
        assert stat.S_IMODE((tmp_path / "d" / name).stat().st_mode) == 0o600
