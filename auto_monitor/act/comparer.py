"""Has what a script on trial carried compared with the server, by another process.

It runs the shipped code (`python -m migration.commands.audit`), never the script, and
ends itself after some minutes. The monitor only looks whether it is done.
"""

import subprocess
import sys
import tempfile
from collections.abc import Collection
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

from auto_monitor.ports import Incomparable
from auto_monitor.processes import WorkerCommand
from common.exit_status import ExitCode
from migration.ledger import changed
from migration.ledger.totals import UNREADABLE
from migration.state_files.names import LEDGER_NAME
from migration.state_files.owner import lock_path

#: The most books that are compared; those with the highest ids.
MOST = 500
#: Bytes of differences that are kept.
KEPT = 4000
_CANNOT = "what it carried cannot be compared"


@dataclass(frozen=True, slots=True)
class _Job:
    process: "subprocess.Popen[bytes]"
    said: IO[bytes]


@dataclass(frozen=True, slots=True)
class ProcessComparer:
    """Compares for the trials of one state directory."""

    command: WorkerCommand
    _jobs: dict[str, _Job] = field(default_factory=dict)

    @property
    def busy(self) -> bool:
        """Whether a comparison is under way."""
        return bool(self._jobs)

    def differences(
        self, trial: str, pass_id: int, worker_id: int, besides: Collection[int] = ()
    ) -> str | None:
        """Returns what differs, "" for nothing; None while that is being found out.

        `trial` is the attempt's key; `besides` are books that were carried before it.
        Raises Incomparable; the next call tries again.
        """
        job = self._jobs.get(trial)
        if job is None:
            try:
                books = self._books(pass_id, worker_id, besides)
                if not books:
                    return ""
                self._jobs[trial] = self._started(books)
            except (*UNREADABLE, OSError) as error:
                raise Incomparable(f"{_CANNOT}: {error}") from error
            return None
        code = job.process.poll()
        if code is None:
            return None
        del self._jobs[trial]
        return _verdict(job, code)

    def close(self) -> None:
        """Ends those that still run: nobody waits for their verdict."""
        for job in self._jobs.values():
            job.process.kill()
            job.process.wait()
            job.said.close()
        self._jobs.clear()

    def _books(
        self, pass_id: int, worker_id: int, besides: Collection[int]
    ) -> list[int]:
        """Returns the books that the worker's last process has carried.

        Its name is in the worker's lock, also after its end. Raises OSError.
        """
        state_dir = self.command.state_dir
        owner = lock_path(state_dir, worker_id).read_text("ascii", "replace")
        found = changed.carried_by(
            state_dir / LEDGER_NAME, pass_id, owner.strip(), MOST + len(besides)
        )
        known = frozenset(besides)
        return [int(book) for book in found if book not in known][-MOST:]

    def _started(self, books: list[int]) -> _Job:
        # Closed with the verdict.
        said = tempfile.TemporaryFile()  # noqa: SIM115
        line = [
            sys.executable,
            "-m",
            "migration.commands.audit",
            str(self.command.library),
            "--server",
            self.command.server,
            "--state-dir",
            str(self.command.state_dir),
            "--books",
            ",".join(map(str, books)),
        ]
        process = subprocess.Popen(
            line,
            env=self.command.surroundings(),
            cwd=Path(self.command.project),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            start_new_session=True,
        )
        return _Job(process, said)


def _verdict(job: _Job, code: int) -> str:
    with job.said as said:
        said.seek(0)
        text = said.read(KEPT).decode("utf-8", "replace").strip()
    if code == ExitCode.OK:
        return ""
    lines = text.splitlines() or [f"it ended with status {code}"]
    if code == ExitCode.DIFFERENCE:
        more = f" and {len(lines) - 1} more" if len(lines) > 1 else ""
        return f"what it carried differs from Calibre: {lines[0]}{more}"
    raise Incomparable(f"{_CANNOT}: {lines[-1]}")
