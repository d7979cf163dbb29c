"""Can a changed worker script make the program lie?

    python -m benchmarks.mutants [--quick] [--number 300] [--books 200] [--seed 1]
    [--lanes N] [--deadline S] [--list]

Mutants of the policy script (conditions turned, constants changed, statements dropped,
early returns, exceptions swallowed, and the lies of `LIES`) each migrate a library of
their own to an embedded server, in real processes. One that is not done by the deadline
counts as hung. Then every book is read back, and every file looked up in the server's
own database, by code that is not the mutant's. A lie is an end with status 0 or 1, or a
pass closed without a difference, while library and server differ. Returns how many.

--quick: 60 mutants over 40 books.
"""

import argparse
import ast
import hashlib
import os
import queue
import random
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.survivors import Finder, Mutant
from migration.errors import ExitCode
from migration.ledger import totals
from migration.release import SCRIPT
from migration.state_files.names import LEDGER_NAME
from tests.support.environment import PROJECT, clean_environment, end
from tests.support.libraries.librarykit import Library, epubs
from tests.support.migration.auditkit import audited, ids, order_for
from tests.support.servers.shelf import Shelf, start_shelf

#: Shorter waits than those of a real server, so that a hundred mutants take minutes.
WAITS = {
    "RETRY_FIRST_SECONDS": "0.1",
    "PROBE_SECONDS": "0.2",
    "START_SECONDS": "3",
    "RECONCILE_AFTER_SECONDS": "2",
    "LAST_LOOK_SECONDS": "0",
}
#: Books on one server, before the next one is started.
BOOKS_OF_A_SERVER = 2000
#: How often a mutant is started: the monitor starts one again that has crashed.
STARTS = 2


@dataclass(frozen=True, slots=True)
class Changed:
    """A script and what was changed in it."""

    name: str
    text: str


# -- lies written by hand --------------------------------------------------------------

_LATER = "self.tracker.processed >= 15"
_TAKE = "            taken = self.ledger.hashes.take("
_ATTEMPT = '        """Sends one file and returns its outcome.'
_WORTH = """            isinstance(error, Transient)
            and not isinstance(error, ResponseLost | LedgerBusy)
            and not error.retry_after
"""
#: What was accepted once, and its like: name, text, and what stands instead.
LIES: tuple[tuple[str, str, str], ...] = (
    (
        "a Known of its own",
        _TAKE,
        f"            if {_LATER}:\n"
        "                return UploadResult(file.id, Outcome.DUPLICATE, Known(digest))\n"
        + _TAKE,
    ),
    (
        "the bytes of the first file for all",
        "        digest = self.transport.identify(file, watch)\n",
        "        digest = self.transport.identify(file, watch)\n"
        "        self.first = getattr(self, 'first', digest)\n"
        "        digest = self.first\n",
    ),
    (
        "not wanted, later",
        '        if file.id.format.startswith("ORIGINAL_"):',
        f'        if {_LATER}:\n            return "not wanted"\n'
        '        if file.id.format.startswith("ORIGINAL_"):',
    ),
    (
        "nothing is wanted",
        "files = [(file, self.excluded(file)) for file in listed]",
        'files = [(file, "not wanted") for file in listed]',
    ),
    (
        "a listing without its last file",
        "files = [(file, self.excluded(file)) for file in listed]",
        "files = [(file, self.excluded(file)) for file in listed[:-1]]",
    ),
    (
        "a limit that nobody gave",
        "return bool(self.options.limit) and self.allowance([]) == 0",
        f"return {_LATER}",
    ),
    (
        "the time is up",
        "return self.time_limit.is_up()",
        f"return {_LATER}",
    ),
    (
        "failed as too big",
        "refuse_unsendable(file, self.options.max_content_length)",
        "refuse_unsendable(file, 0)",
    ),
    (
        "failed by the first evidence",
        "        except Rejected as error:\n            return UploadResult(",
        "        except Exception as error:\n            return UploadResult(",
    ),
    ("everything is worth repeating", _WORTH, "isinstance(error, Transient)\n"),
    (
        "a book left out",
        "            if todo or book.id in registered.unfinished:",
        "            if book.id % 7 and (todo or book.id in registered.unfinished):",
    ),
    (
        "a title of its own",
        "works.append(Work(book, metadata, todo, alone=suspect))",
        'works.append(Work(book, replace(metadata, title="X"), todo, alone=suspect))',
    ),
    (
        "an empty library",
        "highest = self.read_library(self.library.highest_book_id)",
        "highest = 0",
    ),
    (
        "half of a range",
        "        self.hand_out(self.read_range(owned))",
        "        owned = replace(owned, last=(owned.first + owned.last) // 2)\n"
        "        self.held[self.claimed - 1] = owned\n"
        "        self.hand_out(self.read_range(owned))",
    ),
    (
        "success at once",
        "        highest = self.read_library(",
        "        return ExitCode.OK\n        highest = self.read_library(",
    ),
    ("a status of its own", "    return worker(", "    return 0 * worker("),
    ("nothing at all", "    sys.exit(main())", "    sys.exit(0)"),
    (
        "it leaves by itself",
        "            work.begun = file.id\n",
        f"            if {_LATER}:\n                sys.exit(0)\n"
        "            work.begun = file.id\n",
    ),
    (
        "another encoding",
        "# PYTHON_ARGCOMPLETE_OK\n",
        "# -*- coding: latin-1 -*-\n# PYTHON_ARGCOMPLETE_OK\n",
    ),
)


def by_hand(source: str) -> list[Changed]:
    """All of `LIES`. Raises ValueError when the script has no such text any more."""
    made = []
    for name, old, new in LIES:
        if source.count(old) != 1:
            raise ValueError(f"{name!r}: the script has {source.count(old)} of {old!r}")
        made.append(Changed(f"by hand: {name}", source.replace(old, new)))
    return made


# -- lies of a machine -----------------------------------------------------------------


def _swallowed(source: str) -> Iterator[Changed]:
    """Handlers that do nothing, and handlers of everything."""
    lines = source.splitlines(keepends=True)
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.ExceptHandler) or node.type is None:
            continue
        first, last = node.body[0].lineno - 1, node.body[-1].end_lineno or 0
        indent = " " * node.body[0].col_offset
        shown = f"line {node.lineno}"
        yield Changed(
            f"{shown} swallowed",
            "".join([*lines[:first], f"{indent}pass\n", *lines[last:]]),
        )
        line = lines[node.lineno - 1]
        kind = ast.get_source_segment(source, node.type) or ""
        wide = line.replace(f"except {kind}", "except Exception", 1)
        yield Changed(
            f"{shown} catches everything",
            "".join([*lines[: node.lineno - 1], wide, *lines[node.lineno :]]),
        )


def by_machine(source: str) -> list[Changed]:
    """Every mutant that is valid Python and another program."""
    found: list[Mutant] = Finder("the script", source).all()
    made = [Changed(one.shown(source), one.text(source)) for one in found]
    same = ast.dump(ast.parse(source))
    return [
        one
        for one in [*made, *_swallowed(source)]
        if _parsed(one.text) not in ("", same)
    ]


def _parsed(text: str) -> str:
    try:
        return ast.dump(ast.parse(text))
    except (SyntaxError, ValueError):
        return ""


# -- one migration ---------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Ended:
    """How a mutant ended, and what is not true of what it said."""

    mutant: str
    how: str
    lies: tuple[str, ...] = ()


@dataclass(slots=True)
class Trials:
    """Migrations of one lane, to its own server."""

    folder: Path
    books: int
    deadline: float
    _shelf: Shelf | None = None
    _on_it: int = 0

    def close(self) -> None:
        """Ends the server."""
        if self._shelf is not None:
            end(self._shelf.process)

    def shelf(self) -> Shelf:
        """The server: another one now and then, since it gets slower."""
        if self._shelf is None or self._on_it + self.books > BOOKS_OF_A_SERVER:
            self.close()
            name = f"shelf{time.monotonic_ns()}"
            self._shelf, self._on_it = start_shelf(self.folder / name), 0
        self._on_it += self.books
        return self._shelf

    def run(self, number: int, changed: Changed) -> Ended:
        """Migrates a library of its own with the script."""
        place = self.folder / f"mutant{number}"
        library = Library(place / "library")
        first = number * self.books
        library.add(*epubs(range(first, first + self.books)))
        script, state = place / SCRIPT, place / "state"
        script.write_text(changed.text, "utf-8")
        shelf, codes = self.shelf(), list[int | None]()
        until = time.monotonic() + self.deadline
        while len(codes) < STARTS and (not codes or codes[-1] not in (0, 1, 8, None)):
            codes.append(self._start(script, library, state, shelf, until))
        how = _words(codes)
        return Ended(changed.name, how, tuple(_lies(codes, library, state, shelf)))

    def _start(
        self, script: Path, library: Library, state: Path, shelf: Shelf, until: float
    ) -> int | None:
        """Returns the exit status, None for a process that is not done in time."""
        child = subprocess.Popen(
            [
                sys.executable,
                str(script),
                str(library.root),
                "--server",
                shelf.url,
                "--username",
                shelf.username,
                "--state-dir",
                str(state),
                "--parallel-uploads",
                "2",
            ],
            env=clean_environment(MBS2_PASSWORD=shelf.password, **WAITS),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            return child.wait(max(0.1, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            return None
        finally:
            if child.poll() is None:
                os.killpg(child.pid, signal.SIGKILL)
                child.wait()


def _words(codes: Sequence[int | None]) -> str:
    code = codes[-1]
    if code is None:
        return "hung"
    if code == ExitCode.DIFFERENCE:
        return "ended with 8"
    if code == ExitCode.PENDING:
        return "files pending"
    if code == ExitCode.SOME_FAILED:
        return "files failed"
    if code != ExitCode.OK:
        return "crashed"
    return "as the shipped script" if len(codes) == 1 else "done at the second start"


def _lies(
    codes: Sequence[int | None], library: Library, state: Path, shelf: Shelf
) -> Iterator[str]:
    """What is wrong although the program said that all is well."""
    path = state / LEDGER_NAME
    found = totals.read(path) if path.exists() else None
    closed = found is not None and found.closed_at is not None and not found.differences
    if not closed and not {0, 1} & set(codes):
        return
    said = f"status {codes[-1]}, pass {'closed' if closed else 'open'}"
    if found is None or not closed:
        yield f"{said}: not every book is done"
        return
    listed = _hashes(library)
    missing = listed - _on_server(shelf)
    if missing:
        yield f"{said}: {len(missing)} of {len(listed)} files are not on the server"
    if found.counts.failed or found.counts.skipped:
        yield f"{said}: {found.counts} of files that are all well"
    if not totals.proved(path, found.pass_id):
        yield f"{said}: the ledger's rows are others"
    order = order_for(library, shelf, state, books=ids(*range(1, len(listed) + 1)))
    differences, left = audited(order)
    if differences or left:
        yield f"{said}: {len(differences)} differences, {left} books not compared"


def _hashes(library: Library) -> set[str]:
    return {
        hashlib.sha1(path.read_bytes()).hexdigest()
        for path in library.root.rglob("*.epub")
    }


def _on_server(shelf: Shelf) -> set[str]:
    with closing(sqlite3.connect(shelf.data_dir / "bookshelf.db")) as db:
        return {row[0] for row in db.execute("SELECT hash FROM source")}


# -- all of them -----------------------------------------------------------------------


@dataclass(slots=True)
class Table:
    """The mutants that are done."""

    wanted: int
    ended: list[Ended] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, one: Ended) -> None:
        """Prints one line."""
        with self._lock:
            self.ended.append(one)
            lies = "".join(f"\n    LIE: {lie}" for lie in one.lies)
            number = len(self.ended)
            print(f"{number:3}/{self.wanted} {one.how}: {one.mutant}{lies}", flush=True)

    def lies(self) -> int:
        """How many mutants lied."""
        return sum(bool(one.lies) for one in self.ended)

    def summary(self) -> str:
        """How many ended in which way."""
        counted = Counter(one.how for one in self.ended)
        rows = [f"| {how} | {n} |" for how, n in counted.most_common()]
        return "\n".join(
            [
                "| how they ended | mutants |",
                "| --- | --- |",
                *rows,
                f"| **lies** | **{self.lies()}** |",
            ]
        )


def run_all(
    mutants: Sequence[Changed], given: argparse.Namespace, folder: Path
) -> Table:
    """Runs the mutants in lanes; most of them wait, so there are more than cores."""
    waiting: queue.SimpleQueue[tuple[int, Changed]] = queue.SimpleQueue()
    for numbered in enumerate(mutants):
        waiting.put(numbered)
    table = Table(len(mutants))

    def lane(number: int) -> None:
        trials = Trials(folder / f"lane{number}", given.books, given.deadline)
        try:
            while True:
                table.add(trials.run(*waiting.get_nowait()))
        except queue.Empty:
            pass
        finally:
            trials.close()

    threads = [threading.Thread(target=lane, args=(n,)) for n in range(given.lanes)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return table


def choose(source: str, number: int, seed: int) -> list[Changed]:
    """The lies by hand, and so many of a machine that there are `number`."""
    hand, machine = by_hand(source), by_machine(source)
    drawn = random.Random(seed).sample(
        machine, min(max(0, number - len(hand)), len(machine))
    )
    return [*hand, *drawn]


def main() -> int:
    """Returns how many mutants lied, or were not tried."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.mutants")
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--number", type=int)
    parser.add_argument("--books", type=int)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--lanes", type=int, default=3 * (os.cpu_count() or 1))
    parser.add_argument("--deadline", type=float, help="seconds for one mutant")
    parser.add_argument("--list", action="store_true", help="choose, and run nothing")
    given = parser.parse_args()
    number = given.number or (60 if given.quick else 300)
    given.books = given.books or (40 if given.quick else 200)
    given.deadline = given.deadline or (25.0 if given.quick else 120.0)
    mutants = choose((PROJECT / SCRIPT).read_text("utf-8"), number, given.seed)
    print(f"{len(mutants)} mutants over {given.books} books, {given.lanes} at a time")
    if given.list:
        print("\n".join(one.name for one in mutants))
        return 0
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as name:
        table = run_all(mutants, given, Path(name))
    print(f"\n{table.summary()}\n\n{time.monotonic() - began:.0f} s")
    return table.lies() + len(mutants) - len(table.ended)


if __name__ == "__main__":
    sys.exit(main())
