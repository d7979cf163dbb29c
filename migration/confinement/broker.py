"""The process outside that does for a confined worker what it may not do itself.

It connects the worker's sockets to the server and to nothing else, resolves the
server's names, runs the audit (shipped code, and about this job only), backs up the
ledger, and marks it when it is damaged. The worker starts it before it is confined; it
ends with the worker, whose end of the channel closes then. What the worker asks for is
not believed.

A request is one JSON object in one packet, with the descriptors it is about; so is the
answer, with `error` an errno or 0.
"""

import contextlib
import errno
import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from migration.audit import child, messages
from migration.confinement.rules import Job
from migration.confinement.targets import Target, target, targets
from migration.ledger import database, recovery
from migration.state_files.names import BACKUP_NAME

#: The longest packet, in bytes.
LONGEST = messages.LONGEST
#: Seconds within which an audit that was told to end must do so.
END_SECONDS = 5.0
#: The kinds of places that `resolve` answers: the address's family and so on.
Found = list[tuple[Any, ...]]


@dataclass(slots=True)
class Broker:
    """Answers the requests of one worker."""

    job: Job
    targets: Sequence[Target]
    db_uri: str
    ledger: sqlite3.Connection
    #: Of the ledger's file: the one the worker may write.
    inode: int
    addresses: set[tuple[str, int]] = field(default_factory=set)
    audit: "subprocess.Popen[bytes] | None" = None

    def answer(self, request: dict[str, Any], descriptors: list[int]) -> dict[str, Any]:
        """Carries a request out. Raises OSError, and anything for what is none."""
        match request["do"]:
            case "connect":
                return {"error": self._connect(request, descriptors)}
            case "resolve":
                return {"error": 0, "found": self._resolve(request)}
            case "end":
                return {"error": 0, "status": self.end()}
            case "audit":
                self._audit(request, descriptors)
            case "back up":
                database.copy(self.ledger, self.job.ledger.with_name(BACKUP_NAME))
            case "mark":
                recovery.mark(self.job.state_dir, self.inode)
            case _:
                return {"error": errno.EINVAL}
        return {"error": 0}

    def _connect(self, request: dict[str, Any], descriptors: list[int]) -> int:
        """Connects the worker's own socket, if its address is one of the server's."""
        address, port = str(request["host"]), int(request["port"])
        if (address, port) not in self.addresses:
            # The address may be new since the names were resolved last.
            for one in self.targets:
                if one.port == port:
                    self._learn(one)
        if (address, port) not in self.addresses:
            return errno.EACCES
        with socket.socket(fileno=os.dup(descriptors[0])) as own:
            own.setblocking(False)
            return own.connect_ex((address, port))

    def _resolve(self, request: dict[str, Any]) -> Found:
        """Resolves a name of the server's; of others only what is an address."""
        asked = target(str(request["host"]), int(request["port"]))
        if asked in self.targets:
            self._learn(asked)
            flags = 0
        else:
            flags = socket.AI_NUMERICHOST
        return socket.getaddrinfo(
            asked.host,
            asked.port,
            int(request["family"]),
            socket.SOCK_STREAM,
            flags=flags,
        )

    def _learn(self, place: Target) -> None:
        with contextlib.suppress(OSError):
            for found in socket.getaddrinfo(
                place.host, place.port, type=socket.SOCK_STREAM
            ):
                self.addresses.add((str(found[4][0]), int(found[4][1])))

    def _audit(self, request: dict[str, Any], descriptors: list[int]) -> None:
        """Starts the audit that is asked for, when it is about this job."""
        line = str(request["order"]).encode()
        order = messages.order(line)
        asked = (order.library, order.state_dir, order.server, order.ws_url)
        own = (self.job.library, self.job.state_dir, self.job.server, self.job.ws_url)
        if asked != own or order.db_uri not in ("", self.db_uri):
            raise PermissionError(errno.EACCES, "an audit of something else")
        self.end()
        self.audit = child.start(subprocess.PIPE, descriptors[0])
        assert self.audit.stdin is not None
        # One that has ended at once has said why. It is told what was looked at here.
        with contextlib.suppress(OSError):
            self.audit.stdin.write(order.line())
            self.audit.stdin.flush()

    def end(self) -> int:
        """Ends the audit, if one runs; returns its status.

        It ends by itself when its input does.
        """
        audit, self.audit = self.audit, None
        if audit is None:
            return 0
        assert audit.stdin is not None
        with contextlib.suppress(OSError):
            audit.stdin.close()
        try:
            return audit.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            audit.kill()
            return audit.wait()


def serve(channel: socket.socket, broker: Broker) -> None:
    """Answers until the worker is gone."""
    while True:
        packet, descriptors, _flags, _from = socket.recv_fds(channel, LONGEST, 4)
        if not packet:
            return
        try:
            answer = broker.answer(json.loads(packet), descriptors)
        except socket.gaierror as error:
            answer = {"error": 0, "name": error.errno, "said": str(error)}
        except OSError as error:
            answer = {"error": error.errno or errno.EIO}
        except sqlite3.Error:
            answer = {"error": errno.EIO}
        except Exception:  # noqa: BLE001
            # It is a packet of a script that may do anything, such as one nested too
            # deep, or with too long a number.
            answer = {"error": errno.EINVAL}
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        try:
            channel.send(json.dumps(answer).encode())
        except OSError:
            return


def main() -> int:
    """Serves the worker at the other end of the channel, whose number is the argument."""
    # Signals for the worker's group are the worker's: it may finish what it is doing.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    channel = socket.socket(fileno=int(sys.argv[1]))
    values = json.loads(channel.recv(LONGEST))
    for name in ("script", "library", "state_dir", "project"):
        values["job"][name] = Path(values["job"][name])
    job = Job(**values["job"])
    places = targets(job.server, job.ws_url, values["proxies"])
    with closing(sqlite3.connect(job.ledger)) as ledger:
        inode = job.ledger.stat().st_ino
        broker = Broker(job, places, values["db_uri"], ledger, inode)
        # While this connection is open the ledger's -wal and -shm stay the files that
        # the worker may write: the last one to close it would remove them.
        ledger.execute("SELECT count(*) FROM sqlite_master").fetchone()
        channel.send(b"{}")
        serve(channel, broker)
        broker.end()
    return 0


if __name__ == "__main__":
    sys.exit(main())
