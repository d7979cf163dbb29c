"""The files of the embedded server are harmed under a migration that has started it;
part of `benchmarks.faults.damage`.

After the harm the migration ends by itself or, where the server has said that its
database is gone and answers 503, is ended by `./stop.sh`. The next `./start.sh` may be
refused, but only with the sentence that names the way out; that way is gone, once, and
then every file is on the server, whatever the ledger of before believed."""

import re
import shutil
import tempfile
from pathlib import Path

from benchmarks.faults.damagekit import (
    KINDS,
    PATIENCE,
    House,
    assessed,
    finish,
    wait_for,
)
from tests.support.environment import PASSWORD

#: What the log of the server says as soon as its database is not its own any more.
_GONE = "while the server was running: every answer is 503"
#: The files, and what must be said about a kind of harm to them ("" for nothing in
#: particular).
FILES: dict[str, dict[str, str]] = {
    "bookshelf.db": dict.fromkeys(("cut", "overwrite", "delete", "directory"), _GONE),
    "credentials": dict.fromkeys(
        ("cut", "overwrite", "delete", "directory"),
        "credentials, the login of .*MBS2_PASSWORD",
    ),
    "secrets.json": dict.fromkeys(("cut", "overwrite"), "everybody has to log in again")
    | {"directory": "secrets.json is a directory"},
    "server.json": dict.fromkeys(
        ("cut", "overwrite", "delete"), "server.json was damaged or deleted while"
    )
    | {"directory": "server.json .*cannot be written again"},
}
#: The server does not wait as the other one of the matrix does: more books, so that the
#: harm comes in mid-run.
TIMES = 2


def run(name: str, kind: str, books: int) -> tuple[bool | None, str]:
    """Did the cell meet its goal, and what happened in words; None: there was nothing
    to harm."""
    with tempfile.TemporaryDirectory() as folder:
        house = House(Path(folder), books * TIMES, embedded=True)
        process = house.start()
        try:
            if (
                not wait_for(
                    lambda: house.uploaded() >= 4 or process.poll() is not None,
                    PATIENCE,
                )
                or process.poll()
            ):
                return False, f"never began: {house.words()[-400:]}"
            path = house.data_dir / name
            if process.poll() is not None:
                return False, "all was done before the harm: give more --books"
            if not path.exists():
                return None, "no such file at that time"
            KINDS[kind](path)
            lost = name == "bookshelf.db" and kind != "unreadable"
            if lost and not wait_for(
                lambda: re.search(_GONE, house.words()) is not None, 20
            ):
                return False, "the server has not noticed"
            if lost:
                # Nothing can arrive any more: the owner ends it.
                process.terminate()
            codes = [finish(process)]
            house.stop()
            found = house.totals()
            closed = found is not None and found.closed_at is not None
            # Not all is known of the harm before the server starts again.
            process = house.start()
            codes.append(finish(process))
            if codes[-1] != 0:
                house.stop()
                process = house.start(environment=remedy(house, path, kind))
                codes.append(finish(process))
            house.stop()
            wrong = assessed(house, FILES[name].get(kind, ""))
            if codes[-1] != 0:
                wrong.append(f"not closed: {house.words()[-300:]}")
            if lost and closed:
                wrong.append("a pass was closed without the database")
            return (
                not wrong,
                f"exit {', '.join(map(str, codes))}{'; ' if wrong else ''}{'; '.join(wrong)}",
            )
        finally:
            if process.poll() is None:
                process.kill()
                process.wait(10)
            house.close()


def remedy(house: House, path: Path, kind: str) -> dict[str, str]:
    """What the sentence has told the owner to do; returns the environment of the next
    start."""
    if kind == "unreadable":
        path.chmod(0o600)
        return {}
    if path.is_dir():
        shutil.rmtree(path)
    if path.name == "bookshelf.db":
        for left in house.data_dir.glob("bookshelf.db*"):
            left.unlink()
    return {"MBS2_PASSWORD": PASSWORD} if path.name == "credentials" else {}
