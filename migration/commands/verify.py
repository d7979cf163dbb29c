"""`--verify` and `--recheck`: compares every file by hash, and every book by field.

It survives outages and interruptions. One line per file goes to stdout in the order of
the library, progress and a summary to stderr. A few threads read files and ask about
them; nothing is sent.
"""

import functools
import sys
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import TYPE_CHECKING, Protocol, TypeVar

from migration.commands.comparison import WORDS, Comparer, ComparisonResult, Mark
from migration.commands.field_check import FieldChecker, FieldResult
from migration.errors import ExitCode, MigrationError
from migration.ledger import totals
from migration.model import Book, BookFile, Counts, FileId, Phase
from migration.server.questions import Questions, RetryPolicy
from migration.state_files import position
from migration.state_files.position import Position
from migration.worker.failing import OUTAGE_AFTER
from migration.worker.options import Options
from migration.worker.resources import Resources
from migration.worker.threads.uploader_pool import Hands

if TYPE_CHECKING:
    from rich.progress import Progress

T = TypeVar("T")

#: What makes the exit status 1: differences that a run reported are none of it.
_WRONG = (Mark.MISSING.name, Mark.NOT_KNOWN.name, "DIFFERENT", "UNKNOWN_FIELDS")

#: Books listed at a time.
PAGE = 500
#: Files per thread that are being compared, or wait to be reported.
AHEAD = 4
#: Seconds between two lines of progress in the log, and between two saved positions.
SHOW_SECONDS, SAVE_SECONDS = 10.0, 2.0
#: Tries per request, as for a file that is sent.
TRIES = 4


#: What is said of the fields of a book, or why nothing is.
FieldVerdict = Sequence[FieldResult] | MigrationError
Verdict = tuple[ComparisonResult, FieldVerdict]


class Reads(Protocol):
    """Reads from the library, waiting while Calibre has it locked."""

    def __call__(self, read: Callable[[], T]) -> T:
        """Returns what `read` returns."""


def verify(opened: Resources, read: Reads) -> ExitCode:
    """Compares every file; with `--recheck` makes missing ones pending again.

    Returns OK, or SOME_FAILED when anything is missing or not known. The summary is
    printed however it ends. Raises Fatal, and Stopping after a signal; the same command
    then continues where this one stopped.
    """
    return Verification(opened, read).run()


class Verification:
    """One comparison of a library with a server, or the rest of one."""

    def __init__(self, opened: Resources, read: Reads) -> None:
        self._opened = opened
        self._options = opened.options
        self._pool = pool = opened.pool
        self._read = read
        questions = Questions(
            lambda: opened.client.probe() is None,
            pool.sleep,
            _policy(opened.options),
            self._waiting,
        )
        self._fields = FieldChecker(
            opened.client,
            opened.ledger,
            questions,
            opened.options,
            opened.ledger.identity.first_library,
        )
        self._comparer = Comparer(
            opened.library, opened.client, opened.ledger.path, questions, pool.heed_stop
        )
        self._path = position.path(opened.options.state_dir, opened.options.worker_id)
        self._position = self._start()
        self._counts = Counter(self._position.counts or {})
        self._back = self._position.back
        self._goes_on = True
        listed = read(opened.library.formats)
        self._total = sum(
            number for name, number in listed.items() if self._wants(name)
        )
        self._shown = time.monotonic()
        # The position after the first file is saved at once.
        self._saved = self._shown - SAVE_SECONDS

    def run(self) -> ExitCode:
        """Compares what is left and returns the exit status."""
        ended = "Stopped"
        self._opened.tracker.set(status=Phase.MIGRATING)
        hands = Hands(self._options.parallel_uploads, self._opened.client.session.close)
        try:
            with self._bar() as bar:
                task = bar.add_task(
                    "compared", total=self._total, completed=self._done()
                )
                for verdict, fields in self._verdicts(hands):
                    self._tell(verdict, fields)
                    bar.update(task, completed=self._done())
            ended = "" if self._goes_on else "The server did not come back"
        finally:
            hands.dismiss()
            self._end(ended)
        failed = any(self._counts[name] for name in _WRONG)
        return ExitCode.SOME_FAILED if failed else ExitCode.OK

    # -- where it begins and stops -----------------------------------------------------

    def _start(self) -> Position:
        """Returns where the same comparison stopped, or the beginning."""
        found = totals.read(self._opened.ledger.path)
        what = {
            "library": self._opened.library.uuid,
            "server": self._opened.client.session.server,
            "user": self._opened.client.session.user_id,
            "formats": ",".join(sorted(self._options.formats)),
            "selection": str(self._opened.library.selection),
            "mode": "recheck" if self._options.recheck else "verify",
            "sent": f"pass {found.pass_id}, {found.bytes_uploaded} bytes"
            if found
            else "",
        }
        if found is not None and found.scope and not self._opened.library.narrowed:
            self._opened.log.warning(
                "The last pass had a %s. This compares the whole library; give the "
                "same options to compare only what it was about",
                found.scope,
            )
        kept = position.read(self._path, what, self._opened.clock())
        if kept is None:
            return Position(what, self._opened.clock())
        self._opened.log.info(
            "Going on after book %d, where this comparison stopped at %s; delete %s to begin anew",
            kept.book_id,
            f"{kept.at:%Y-%m-%d %H:%M:%S} UTC",
            self._path,
        )
        return kept

    def _save(self) -> None:
        """Saves the position; everything before it has been printed."""
        sys.stdout.flush()
        self._saved = time.monotonic()
        position.write(self._path, replace(self._position, at=self._opened.clock()))

    def _end(self, ended: str) -> None:
        """Prints the summary, and saves the position if something is left."""
        said = ", ".join(f"{self._counts[mark.name]} {WORDS[mark]}" for mark in Mark)
        back = f"; {self._back} are pending again" if self._options.recheck else ""
        begun = self._position.book_id
        left = (
            f"{ended} after book {begun}; the same command goes on there. So far: "
            if ended
            else ""
        )
        sys.stdout.flush()
        sys.stderr.write(f"{self._said_of_fields()}\n{left}{said}{back}\n")
        if not ended:
            position.forget(self._path)
        elif begun:
            self._save()

    # -- file by file ------------------------------------------------------------------

    def _verdicts(self, hands: Hands) -> Iterator[Verdict]:
        """Yields the verdicts in library order, comparing some files ahead."""
        ahead: deque[Future[Verdict]] = deque()
        for file, book in self._files():
            ahead.append(hands.submit(functools.partial(self._compare, file, book)))
            while len(ahead) >= AHEAD * hands.size or (ahead and ahead[0].done()):
                yield self._awaited(ahead.popleft())
        while ahead:
            yield self._awaited(ahead.popleft())

    def _compare(self, file: BookFile, book: Book | None) -> Verdict:
        """Compares one file, and the fields of its book with the first of them."""
        fields = () if book is None else self._fields.compare(book)
        return self._comparer.compare(file), fields

    def _files(self) -> Iterator[tuple[BookFile, Book | None]]:
        """Yields the wanted files that have no line yet, the first with its book."""
        begin, after = self._position, max(0, self._position.book_id - 1)
        while (page := self._read(functools.partial(self._page, after))) is not None:
            after, files, books = page
            for file in files:
                if not self._wants(file.id.format):
                    continue
                # A book that was begun has had its fields compared.
                book = books.pop(file.id.book_id, None)
                if not begin.has(file.id):
                    yield file, book

    def _page(self, after: int) -> tuple[int, list[BookFile], dict[int, Book]] | None:
        """Returns the last of the next books, their files, and the books.

        None at the end.
        """
        library = self._opened.library
        last = library.last_id_of_range(after, PAGE)
        if last is None:
            return None
        files = library.read_files(after + 1, last)
        wanted = {file.id.book_id for file in files}
        books = library.read_books(after + 1, last, wanted)
        return last, files, {book.id: book for book in books}

    def _wants(self, name: str) -> bool:
        """Whether the user wants files of this format."""
        return not name.startswith("ORIGINAL_") and (
            not self._options.formats or name in self._options.formats
        )

    def _awaited(self, future: Future[Verdict]) -> Verdict:
        """Waits for a verdict, updating the progress file.

        Raises Stopping after a signal.
        """
        while True:
            self._pool.check(0.0)
            self._opened.publish()
            self._show()
            try:
                return future.result(0.5)
            except TimeoutError:
                if future.done():
                    raise

    def _tell(self, verdict: ComparisonResult, fields: FieldVerdict) -> None:
        """Prints and counts a verdict.

        With `--recheck` makes a missing file pending again.
        """
        self._tell_fields(verdict.file.id, fields)
        sys.stdout.write(verdict.line(as_json=self._options.json) + "\n")
        if (
            self._options.recheck
            and verdict.mark is Mark.MISSING
            and verdict.digest is not None
        ):
            self._back += self._opened.ledger.files.unlearn(
                verdict.file.id, verdict.digest
            )
        self._counts[verdict.mark.name] += 1
        # Files not asked about because the server is away are asked about by the next
        # run of the same command.
        self._goes_on = self._goes_on and not verdict.gone
        if self._goes_on:
            after = self._position.after(verdict.file.id)
            self._position = replace(after, counts=dict(self._counts), back=self._back)
            if time.monotonic() - self._saved >= SAVE_SECONDS:
                self._save()
        self._opened.tracker.compared(self._progress(), verdict.file.id.book_id)

    def _tell_fields(self, file: FileId, fields: FieldVerdict) -> None:
        """Prints and counts the differences of a book's fields."""
        if isinstance(fields, MigrationError):
            self._counts["UNKNOWN_FIELDS"] += 1
            self._opened.log.warning(
                "Book %d: its fields could not be compared: %s", file.book_id, fields
            )
            return
        for one in fields:
            sys.stdout.write(one.line(as_json=self._options.json) + "\n")
            self._counts[one.name] += 1

    def _said_of_fields(self) -> str:
        """Returns how many fields differ, in words."""
        unknown = self._counts["UNKNOWN_FIELDS"]
        more = f", {unknown} books not compared" if unknown else ""
        return (
            f"{self._counts['DIFFERENT']} fields differ; {self._counts['REPORTED']} "
            f"more do and were reported by a run{more}"
        )

    # -- progress ----------------------------------------------------------------------

    def _done(self) -> int:
        return sum(self._counts[mark.name] for mark in Mark)

    def _progress(self) -> Counts:
        """Returns the progress file's counts: `duplicate` if there, else `failed`."""
        there, done = self._counts[Mark.THERE.name], self._done()
        total = max(self._total, done)
        return Counts(total, 0, there, 0, done - there, total - done)

    def _show(self) -> None:
        """Logs a line every ten seconds."""
        if time.monotonic() - self._shown < SHOW_SECONDS:
            return
        self._shown = time.monotonic()
        wrong = ", ".join(
            f"{self._counts[mark.name]} {WORDS[mark]}"
            for mark in Mark
            if self._counts[mark.name]
        )
        self._opened.log.info(
            "Compared %d of %d files: %s",
            self._done(),
            max(self._total, self._done()),
            wrong,
        )

    def _waiting(self, waiting: bool) -> None:
        """Reports that an outage begins or ends."""
        self._opened.tracker.set(status=Phase.WAITING if waiting else Phase.MIGRATING)
        if waiting:
            self._opened.log.warning(
                "The server does not answer; the comparison waits for it"
            )
        else:
            self._opened.log.info("The server answers again")

    @staticmethod
    def _bar() -> "Progress":
        """Returns a progress bar, disabled if file lines go to the terminal."""
        # rich is imported where something is shown, not at every start of a worker.
        from rich import progress
        from rich.console import Console

        console = Console(stderr=True)
        columns = (
            progress.TextColumn("{task.description}"),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            progress.TimeRemainingColumn(),
        )
        shown = console.is_terminal and not sys.stdout.isatty()
        return progress.Progress(
            *columns, console=console, disable=not shown, redirect_stdout=False
        )


def _policy(options: Options) -> RetryPolicy:
    """Retries as uploads do, and then waits for an unreachable server."""
    return RetryPolicy(
        options.retry_first_seconds,
        TRIES,
        options.probe_seconds,
        options.verify_patience_seconds,
        OUTAGE_AFTER,
    )
