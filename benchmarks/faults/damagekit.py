"""What `benchmarks.faults.damage` needs for one cell: a migration of its own, its processes
and what they say."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from migration.ledger import totals
from migration.state_files.names import LEDGER_NAME
from tests.support.environment import PASSWORD, PROJECT, clean_environment, end
from tests.support.libraries.librarykit import Library, Made, epub
from tests.support.libraries.truth import look, troubles
from tests.support.machine.clockkit import FakeTime
from tests.support.servers.shelf import start_shelf

#: Whoever runs the migration; root is asked for no rights.
NOBODY = 65534
SHORT = {
    "CHECK_INTERVAL_SECONDS": "0.5",
    "STUCK_THRESHOLD_SECONDS": "20",
    "DISCOVERY_THRESHOLD_SECONDS": "30",
    "COOLDOWN_SECONDS": "2",
    "SUCCESS_VERIFICATION_SECONDS": "2.5",
    "KILL_GRACE_SECONDS": "2",
    "STACK_SECONDS": "1",
    "IOSTAT_SECONDS": "1",
    "CLOSING_SECONDS": "10",
    "RETRY_FIRST_SECONDS": "0.1",
    "PROBE_SECONDS": "0.3",
    "RECONCILE_AFTER_SECONDS": "2",
    "TASK_SECONDS": "4",
    "BATCH_SIZE": "6",
    "PARALLEL_UPLOADS": "2",
    "REPORT_SECONDS": "5",
}
#: Seconds one run may take.
PATIENCE = 150.0


def cut(path: Path) -> None:
    """Cut to nothing, in place."""
    os.truncate(path, 0)


def overwrite(path: Path) -> None:
    """Other bytes, in place."""
    with path.open("r+b") as file:
        file.write(b"\xa5" * max(64, path.stat().st_size))


def delete(path: Path) -> None:
    """Gone."""
    path.unlink()


def directory(path: Path) -> None:
    """A directory with something in it has its name."""
    path.unlink()
    path.mkdir()
    (path / "a file").write_text("x")


def unreadable(path: Path) -> None:
    """Mode 000."""
    path.chmod(0)


KINDS: dict[str, Callable[[Path], None]] = {
    "cut": cut,
    "overwrite": overwrite,
    "delete": delete,
    "directory": directory,
    "unreadable": unreadable,
}


def rights() -> list[str]:
    """What takes root's rights from a command and from whatever it starts; nothing for
    whoever is not root."""
    if os.getuid() != 0:
        return []
    other = [
        "setpriv",
        "--reuid",
        str(NOBODY),
        "--regid",
        str(NOBODY),
        "--clear-groups",
    ]
    nested = (
        "import subprocess, sys; sys.exit(subprocess.call([sys.executable, '-c', '']))"
    )
    tried = subprocess.run(
        [*other, sys.executable, "-c", nested],
        cwd="/",
        check=False,
        capture_output=True,
    )
    return (
        ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
        if tried.returncode
        else other
    )


RIGHTS = rights()


class House:
    """A library, a server and a state directory for one cell."""

    def __init__(self, root: Path, books: int, *, embedded: bool = False) -> None:
        """`embedded`: `./start.sh` starts the server itself, under the state
        directory."""
        root.chmod(0o755)
        self.root, self.state = root, root / "state"
        library = Library(root / "library")
        self.contents: list[bytes] = []
        for number in range(books):
            files = {"EPUB": epub(number), "TXT": f"text {number}".encode() * 30}
            self.contents += files.values()
            library.add(
                Made(
                    title=f"Книга {number}",
                    files=files,
                    rating=number % 11,
                    comments=f"About {number}",
                )
            )
        self.state.mkdir()
        self.clock = FakeTime(root)
        if "--reuid" in RIGHTS:
            for path in (root, *root.rglob("*")):
                os.chown(path, NOBODY, NOBODY)
        self.embedded = embedded
        self.data_dir = self.state / "bookshelf" if embedded else root / "shelf"
        self.shelf = (
            None if embedded else start_shelf(self.data_dir, "--delay-ms", "25")
        )

    def start(
        self, *, clock: bool = False, environment: Mapping[str, str] | None = None
    ) -> "subprocess.Popen[bytes]":
        """`./start.sh --foreground`, as somebody who is not root; `clock`: its clock
        and its children's can be set."""
        command = [
            *RIGHTS,
            self.clock.python if clock else sys.executable,
            "-m",
            "deploy.launch",
            "--library",
            str(self.root / "library"),
            "--workers",
            "2",
            "--foreground",
            "--no-dashboard",
        ]
        more = dict(environment or {})
        if self.shelf is not None:
            command += ["--server", self.shelf.url]
            more["MBS2_PASSWORD"] = PASSWORD
        surroundings = clean_environment(
            STATE_DIR=str(self.state),
            HOME=str(self.root),
            **SHORT,
            **more,
            **(self.clock.environment() if clock else {}),
        )
        with (self.root / "said").open("ab") as output:
            return subprocess.Popen(
                command,
                cwd=PROJECT,
                env=surroundings,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    def stop(self) -> None:
        """`./stop.sh`: ends what of this state directory is still there."""
        environment = clean_environment(STATE_DIR=str(self.state), HOME=str(self.root))
        subprocess.run(
            [sys.executable, "-m", "deploy.stop"],
            cwd=PROJECT,
            env=environment,
            check=False,
            timeout=90,
            capture_output=True,
        )

    def close(self) -> None:
        """Ends all that runs, the server too."""
        self.stop()
        if self.shelf is not None:
            end(self.shelf.process)

    def uploaded(self) -> int:
        """Files that have arrived, by the ledger."""
        found = self.totals()
        return found.counts.uploaded if found is not None else 0

    def totals(self) -> totals.Totals | None:
        """What the ledger says."""
        try:
            return totals.read(self.state / LEDGER_NAME)
        except totals.UNREADABLE:
            return None

    def words(self) -> str:
        """All that was said, in logs that can be read."""
        logs = (
            *self.state.glob("*.log*"),
            *self.state.glob("*.out"),
            *self.state.glob("bookshelf/*.log"),
        )
        found = [self.root / "said", *logs]
        return "\n".join(
            path.read_text("utf-8", "replace") for path in found if path.is_file()
        )


def wait_for(condition: Callable[[], bool], seconds: float) -> bool:
    """Waits; False when it does not come true in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


def finish(process: "subprocess.Popen[bytes]") -> int | None:
    """How it ended; None when it had to be stopped, with all that it started."""
    try:
        return process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGTERM)
        process.wait(30)
        return None


def assessed(house: House, sentence: str) -> list[str]:
    """What is not as it should be; `sentence`: a pattern that somebody must have said,
    "" for none."""
    wrong = troubles(look(house.data_dir), house.contents)
    found = house.totals()
    if (
        found is None
        or found.closed_at is None
        or not totals.proved(house.state / LEDGER_NAME, found.pass_id)
    ):
        wrong.append("the pass is not proved")
    elif found.counts.failed:
        wrong.append(f"failed: {dict(found.failed)}")
    if sentence and not re.search(sentence, house.words()):
        wrong.append(f"nobody said {sentence!r}")
    return wrong
