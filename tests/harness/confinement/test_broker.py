"""The broker of a confined worker in this process: what it makes of requests."""

import errno
import json
import socket
import sqlite3
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from migration.confinement import launch
from migration.confinement.broker import LONGEST, Broker, serve
from migration.confinement.rules import Job
from migration.confinement.targets import target
from migration.state_files.names import LEDGER_NAME

Ask = Callable[[bytes], dict[str, Any]]

HERE = {"do": "resolve", "host": "127.0.0.1", "port": 1, "family": 0}


@pytest.fixture
def ask(tmp_path: Path) -> Iterator[Ask]:
    """Sends a packet to a broker; returns its answer."""
    job = Job(tmp_path / "x.py", tmp_path, tmp_path, 1, tmp_path, "http://localhost:1")
    own, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    own.settimeout(20)
    with (
        theirs,
        closing(sqlite3.connect(":memory:", check_same_thread=False)) as ledger,
    ):
        job.ledger.touch()
        inode = job.ledger.stat().st_ino
        broker = Broker(job, (target("localhost", 1),), "", ledger, inode)
        thread = threading.Thread(target=serve, args=(theirs, broker), daemon=True)
        thread.start()

        def sent(packet: bytes) -> dict[str, Any]:
            own.send(packet)
            answer: dict[str, Any] = json.loads(own.recv(LONGEST))
            return answer

        yield sent
        own.close()
        thread.join()


@pytest.mark.parametrize(
    "packet",
    [
        pytest.param(b"[" * 60_000, id="nested too deep"),
        pytest.param(b"\xff", id="not a text"),
        pytest.param(b"{}", id="nothing asked"),
        pytest.param(b"7", id="a number"),
        pytest.param(
            json.dumps({**HERE, "family": 1 << 80}).encode(), id="too long a number"
        ),
    ],
)
def test_no_packet_ends_the_broker(ask: Ask, packet: bytes) -> None:
    """It is refused, and the next one is answered."""
    assert ask(packet) == {"error": errno.EINVAL}
    assert ask(json.dumps(HERE).encode())["found"][0][4] == ["127.0.0.1", 1]


def test_a_name_of_the_server_is_resolved_however_it_is_written(ask: Ask) -> None:
    """Others are not."""
    for host, known in (("localhost", True), ("LocalHost", True), ("other", False)):
        answer = ask(json.dumps({**HERE, "host": host}).encode())
        assert ("found" in answer, "name" in answer) == (known, not known)


def test_the_ledger_is_marked_as_damaged(ask: Ask, tmp_path: Path) -> None:
    """The one the worker has, whatever it names: not one that was rebuilt since."""
    mark, ledger = tmp_path / "migration_ledger.damaged", tmp_path / LEDGER_NAME
    assert ask(json.dumps({"do": "mark", "inode": 1}).encode()) == {"error": 0}
    assert mark.read_text() == str(ledger.stat().st_ino)
    mark.unlink()
    ledger.rename(tmp_path / "aside")
    ledger.touch()
    rebuilt = str(ledger.stat().st_ino)
    (tmp_path / "migration_ledger.rebuilt").write_text(rebuilt)
    assert ask(json.dumps({"do": "mark"}).encode()) == {"error": 0}
    assert not mark.exists()


def test_the_database_is_used_at_an_address_that_answers() -> None:
    """Its library is given one; without an answer it says itself what is wrong."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = int(server.getsockname()[1])
        assert launch.answering(("127.0.0.2", "127.0.0.1"), port) == "127.0.0.1"
        assert launch.answering(("127.0.0.2", "127.0.0.3"), port) == "127.0.0.2"
        assert launch.answering(("127.0.0.2",), port) == "127.0.0.2"
