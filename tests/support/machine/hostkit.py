"""For the tests of host scripts: programs that are there and those that are not,
another user, a web server."""

import os
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from tests.support.environment import PROJECT, clean_environment, needs

#: What the scripts of deploy/ use besides the shell, without what they can do without.
TOOLS = (
    "sh",
    "awk",
    "cat",
    "chmod",
    "cut",
    "date",
    "df",
    "dirname",
    "du",
    "grep",
    "head",
    "id",
    "mkdir",
    "mktemp",
    "mv",
    "printenv",
    "rm",
    "sed",
    "setsid",
    "sha256sum",
    "sleep",
    "sort",
    "tail",
    "timeout",
    "tr",
    "uname",
)
NOBODY = 65534


@contextmanager
def public_folder() -> Iterator[Path]:
    """A folder that any user can look into, which pytest's own are not."""
    with tempfile.TemporaryDirectory(prefix="host-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def program(path: Path, text: str) -> Path:
    """A shell script that can be run."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(f"#!/bin/sh\n{text}\n", "utf-8")
    path.chmod(0o755)
    return path


def only_tools(folder: Path, *more: str) -> Path:
    """A folder for PATH that holds the usual tools and `more`, and nothing else, such
    as Docker."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in (*TOOLS, *more):
        needs(name)
        (folder / name).symlink_to(shutil.which(name) or name)
    return folder


def nobody(command: Sequence[str]) -> list[str]:
    """The command, run by a user who is not root; by oneself when one is not root
    anyway."""
    if os.geteuid() != 0:
        return list(command)
    needs("setpriv")
    return [
        shutil.which("setpriv") or "setpriv",
        f"--reuid={NOBODY}",
        f"--regid={NOBODY}",
        "--clear-groups",
        *command,
    ]


def copied(folder: Path, *names: str) -> None:
    """Scripts of deploy/ in `folder/deploy`, where another user can read them."""
    for name in names:
        (folder / "deploy" / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(PROJECT / "deploy" / name, folder / "deploy" / name)


def run(
    command: Sequence[str], path: Path, **more: str
) -> "subprocess.CompletedProcess[str]":
    """Runs a command with nothing but `path` on PATH."""
    return subprocess.run(
        command,
        env=clean_environment(**{"PATH": str(path), **more}),
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@dataclass
class Web:
    """A web server on loopback: `files` by path; those in `halved` break off in the
    middle; `dumb` ones never come."""

    files: dict[str, bytes] = field(default_factory=dict)
    halved: set[str] = field(default_factory=set)
    dumb: set[str] = field(default_factory=set)
    asked: list[str] = field(default_factory=list)
    url: str = ""


@contextmanager
def web(files: Mapping[str, bytes]) -> Iterator[Web]:
    """Serves files until the test is over."""
    made, over = Web(dict(files)), threading.Event()

    class Handler(BaseHTTPRequestHandler):
        """GET of what is there."""

        def do_GET(self) -> None:
            made.asked.append(self.path)
            if self.path in made.dumb:
                over.wait(60)
                return
            body = made.files.get(self.path)
            self.send_response(200 if body is not None else 404)
            self.send_header("Content-Length", str(len(body or b"")))
            self.end_headers()
            if body is not None:
                self.wfile.write(
                    body[: len(body) // 2] if self.path in made.halved else body
                )

        def log_message(self, format: str, *args: object) -> None:
            """Silence."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield made
    finally:
        over.set()
        server.shutdown()
        thread.join()
        server.server_close()
