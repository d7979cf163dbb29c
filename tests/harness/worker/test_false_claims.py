"""A script that is wrong about what happened: nothing of it is recorded."""

import sys
from asyncio import CancelledError
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bulk_migrate_calibre import CalibreMigrator
from migration.calibre.library import CalibreLibrary
from migration.commands.worker import worker as run_worker
from migration.errors import (
    Evidence,
    ExitCode,
    FalseClaim,
    Fatal,
    MissingFile,
    Rejected,
    ServerFault,
    Transient,
)
from migration.evidence import about
from migration.lanes.api.lane import ApiLane
from migration.lanes.api.transfer import LocalTransport
from migration.lanes.lane import Work
from migration.ledger.current_pass import CurrentPass
from migration.ledger.ledger import Ledger
from migration.ledger.records import Range, Registration
from migration.metadata.sendable import refuse_unsendable
from migration.model import (
    BookFile,
    Counts,
    Digest,
    EbookId,
    Known,
    Outcome,
    Phase,
    Receipt,
    RemoteMatch,
    SourceId,
    UploadResult,
)
from migration.server.client import BookshelfClient
from migration.server.session import Session
from migration.state_files import progress
from migration.worker.accounting import Accounting
from migration.worker.checked.observed import Observed
from migration.worker.conclusion import Conclusion
from migration.worker.resources import Resources
from tests.support.environment import PASSWORD
from tests.support.libraries.librarykit import Library, epubs
from tests.support.libraries.truth import look
from tests.support.migration.auditkit import ebook_of, patch
from tests.support.migration.told_worker import WorkerHarness
from tests.support.servers.inprocess import LocalWorkers, call_main
from tests.support.servers.shelf import Shelf

BOOKS = 6
OTHER = Digest("1" * 40, 7)
Lie = Callable[[Any], None]


@pytest.fixture
def make(tmp_path: Path, shelf: Shelf) -> Callable[..., WorkerHarness]:
    """Makes a worker for a library of some EPUBs."""

    def worker(*options: str) -> WorkerHarness:
        made = WorkerHarness(tmp_path / "worker", shelf.url, *options)
        # For the audit, which is a process of its own.
        made.options = replace(made.options, password=PASSWORD)
        made.library.add(*epubs(range(BOOKS)))
        return made

    return worker


# -- what the script answers instead ---------------------------------------------------


def says_nothing_is_wanted(it: Any) -> None:
    """As `excluded` does for a format nobody asked for."""
    it.excluded = lambda _file: "not wanted"


def says_a_later_file_is_not_wanted(it: Any) -> None:
    """Only one of them."""
    it.excluded = lambda file: "no" if file.id.book_id == BOOKS else ""


def drops_a_file_of_the_listing(it: Any) -> None:
    """The last one of what was read."""
    read_library = it.read_library

    def shorter(read: Callable[[], Any]) -> Any:
        found = read_library(read)
        cut = isinstance(found, list) and found and isinstance(found[0], BookFile)
        return found[:-1] if cut else found

    it.read_library = shorter


def lists_another_size(it: Any) -> None:
    """A file that Calibre does not have."""
    read_library = it.read_library

    def changed(read: Callable[[], Any]) -> Any:
        found = read_library(read)
        if isinstance(found, list) and found and isinstance(found[0], BookFile):
            found[0] = replace(found[0], size=1)
        return found

    it.read_library = changed


def says_the_library_is_empty(it: Any) -> None:
    """Then the pass would have no range."""
    read_library = it.read_library

    def nothing(read: Callable[[], Any]) -> Any:
        found = read_library(read)
        return 0 if isinstance(found, int) else found

    it.read_library = nothing


def makes_a_known_itself(it: Any) -> None:
    """Of the right bytes; the server does not have them."""

    def upload_file(work: Work, file: BookFile) -> UploadResult:
        digest = it.identify(work, file, it.watch(file, _Silent()))
        return UploadResult(file.id, Outcome.DUPLICATE, Known(digest))

    it.upload_file = upload_file


def takes_the_bytes_of_another_file(it: Any) -> None:
    """They would be known."""
    it.identify = lambda _work, _file, _watch: OTHER


def makes_a_receipt_itself(it: Any) -> None:
    """Of a file that was never sent."""
    it.send_with_retries = lambda _work, file: UploadResult(
        file.id, Outcome.UPLOADED, Receipt(OTHER, EbookId(1), SourceId(1))
    )


def fails_by_evidence_of_its_own(it: Any) -> None:
    """About the right file."""
    it.process_file = lambda _work, file: UploadResult(
        file.id, Outcome.FAILED, Evidence("too big", "it is", file.id)
    )


def fails_by_a_limit_of_its_own(it: Any) -> None:
    """As `refuse_unsendable` raises it."""
    it.refuse_unsendable = lambda file: refuse_unsendable(file, 0)


def fails_by_another_files_evidence(it: Any) -> None:
    """One that trusted code has made."""

    def refuse(_file: BookFile) -> None:
        with about(OTHER):
            raise Rejected("seen elsewhere")

    it.refuse_unsendable = refuse


def skips_in_passing(it: Any) -> None:
    """A file that was wanted."""
    it.process_file = lambda _work, file: UploadResult(
        file.id, Outcome.SKIPPED, reason="no"
    )


def answers_for_another_file(it: Any) -> None:
    """With a result of its own."""
    process_file = it.process_file

    def swapped(work: Work, file: BookFile) -> UploadResult:
        result: UploadResult = process_file(work, file)
        return replace(result, file=replace(file.id, format="PDF"))

    it.process_file = swapped


def begins_no_attempt(it: Any) -> None:
    """A file that kills its worker would never be found."""
    it.process_file = it.send_with_retries


def alters_the_metadata(it: Any) -> None:
    """A title of its own."""
    works = it.works

    def altered(owned: Range, registered: Registration) -> list[Work]:
        return [
            replace(work, metadata=replace(work.metadata, title="Mine"))
            for work in works(owned, registered)
        ]

    it.works = altered


def alters_the_book(it: Any) -> None:
    """So that it looks as if Calibre had changed it since."""
    works = it.works

    def altered(owned: Range, registered: Registration) -> list[Work]:
        return [
            replace(work, book=replace(work.book, modified=b"later"))
            for work in works(owned, registered)
        ]

    it.works = altered


def claims_no_authors(it: Any) -> None:
    """Then two workers could make the same author."""
    take = it.ledger.hashes.take
    it.ledger = replace(it.ledger, hashes=_Hashes(take))


class _Hashes:
    def __init__(self, take: Callable[..., Any]) -> None:
        self._take = take

    def __len__(self) -> int:
        return 0

    def take(self, file: Any, digest: Any, _names: Any) -> Any:
        """Without a name."""
        return self._take(file, digest, ())


def reads_a_part_of_its_range(it: Any) -> None:
    """And leaves the rest out."""
    read_range = it.read_range
    it.read_range = lambda owned, *, again=False: read_range(
        replace(owned, last=owned.last - 1), again=again
    )


def leaves_a_book_out(it: Any) -> None:
    """The one that makes it crash, say."""
    works = it.works
    it.works = lambda owned, registered: [
        work for work in works(owned, registered) if work.book.id != 2
    ]


def asks_nobody(it: Any) -> None:
    """Whether the server still has what it had."""
    it.ask_server = lambda _ask: None


def reports_nothing_of_a_range(it: Any) -> None:
    """Books without files, and what has left Calibre."""
    books = it.range_books
    it.range_books = SimpleNamespace(
        metadata=books.metadata,
        removed=books.removed,
        without_files=books.without_files,
        notice=lambda *_all: None,
    )


def forgets_the_languages(it: Any) -> None:
    """And the genres."""
    check = it.check_api_connectivity

    def without() -> bool:
        found: bool = check()
        it.vocabulary = replace(it.vocabulary, genres={})
        return found

    it.check_api_connectivity = without


def says_the_limit_is_reached(it: Any) -> None:
    """Nobody gave one."""
    it.limit_reached = lambda: True


def takes_no_range(it: Any) -> None:
    """There is one."""
    it.next_range = lambda: None
    it.reopened_by_last_look = lambda: False


def ends_at_once(it: Any) -> None:
    """With success."""
    it.migrate = lambda: ExitCode.OK


def learns_what_nobody_said(it: Any) -> None:
    """By the way that is meant for the server's answers."""
    it.refuse_unsendable = lambda _file: it.update_existing_hashes(RemoteMatch(OTHER))


class _Silent:
    """Where the stages of a file go."""

    def sent(self, _count: int) -> None: ...

    def read(self, _count: int) -> None: ...

    def stage(self, _name: str) -> None: ...


LIES: list[tuple[Lie, str]] = [
    (says_nothing_is_wanted, "claims that 1/EPUB is not wanted"),
    (says_a_later_file_is_not_wanted, f"claims that {BOOKS}/EPUB is not wanted"),
    (drops_a_file_of_the_listing, "than Calibre's: 1 left out"),
    (lists_another_size, "than Calibre's: 1 left out"),
    (says_the_library_is_empty, "claims a library of 0 files up to book 0; it has 6"),
    (makes_a_known_itself, "1/EPUB is duplicate, which nobody has seen"),
    (takes_the_bytes_of_another_file, "claims other bytes of 1/EPUB"),
    (makes_a_receipt_itself, "1/EPUB is uploaded, which nobody has seen"),
    (fails_by_evidence_of_its_own, "1/EPUB is failed, which nobody has seen"),
    (fails_by_a_limit_of_its_own, "1/EPUB is failed, which nobody has seen"),
    (fails_by_another_files_evidence, "1/EPUB is failed, which nobody has seen"),
    (skips_in_passing, "1/EPUB is skipped, which nobody has seen"),
    (answers_for_another_file, "claims the outcome of 1/PDF for 1/EPUB"),
    (begins_no_attempt, "claims an attempt on 1/EPUB that was not recorded"),
    (alters_the_metadata, "claims that book 1 has other metadata"),
    (alters_the_book, "claims that book 1 is another than Calibre's"),
    (claims_no_authors, "claims other authors or series of 1/EPUB"),
    (reads_a_part_of_its_range, "which the ledger did not give to it"),
    (leaves_a_book_out, "claims nothing to do for 1 books, such as 2"),
    (asks_nobody, "nobody asked"),
    (reports_nothing_of_a_range, "are done; nobody reported"),
    (forgets_the_languages, "other languages or genres than the server's"),
    (says_the_limit_is_reached, "ended although books of its pass are not done"),
    (takes_no_range, "ended although books of its pass are not done"),
    (ends_at_once, "ended without taking part in a pass"),
    (learns_what_nobody_said, "that the server has 111"),
]


@pytest.mark.parametrize(
    ("lie", "said"), LIES, ids=[lie.__name__ for lie, _said in LIES]
)
def test_a_false_claim_ends_the_worker(
    make: Callable[..., WorkerHarness], tmp_path: Path, lie: Lie, said: str
) -> None:
    """It names what was claimed, and what is recorded is what the server has."""
    worker = make()
    with pytest.raises(FalseClaim, match=_literally(said)):
        worker.run(lie)
    assert worker.counts.failed == worker.counts.skipped == 0
    assert worker.counts.duplicate == 0
    # What was sent and could not be accounted for is looked up by the next worker.
    assert worker.counts.uploaded <= look(tmp_path / "shelf").hashes.total()


def _literally(text: str) -> str:
    return text.replace("(", r"\(").replace(")", r"\)")


def test_a_file_is_not_missing_at_the_first_look(
    make: Callable[..., WorkerHarness],
) -> None:
    """Calibre moves files: it is asked again in between."""
    worker = make()

    def fails_at_once(it: Any) -> None:
        def missing(file: BookFile) -> None:
            if file.id.book_id == 1:
                # As if it had been looked for before.
                it.missed[file.id] = file.path
                raise MissingFile("not there")

        worker.transport.missing = missing
        give_back = it.accounting.give_back
        it.accounting = SimpleNamespace(
            account=it.accounting.account,
            give_back=lambda work, *, counted: give_back(work, counted=counted) + 9,
        )

    with pytest.raises(FalseClaim, match="1/EPUB is failed, which nobody has seen"):
        worker.run(fails_at_once)
    assert worker.counts.failed == 0


def test_an_attempt_is_counted_once(make: Callable[..., WorkerHarness]) -> None:
    """A script that never gives a file back does not make it "stop its worker"."""
    worker = make()
    worker.client.fails("upload", *[ServerFault("HTTP 500")] * 20)

    def gives_nothing_back(it: Any) -> None:
        def trouble(work: Work, error: Transient) -> None:
            it.streak.ends()
            it.pool.queue.defer(work, None)

        it.trouble = trouble

    assert (worker.run(gives_nothing_back), worker.counts) == (
        ExitCode.OK,
        Counts(BOOKS, BOOKS),
    )


@pytest.mark.parametrize("request_", ["create", "attach"])
def test_a_lost_answer_is_looked_up_whatever_the_script_repeats(
    make: Callable[..., WorkerHarness], tmp_path: Path, request_: str
) -> None:
    """Nothing of the book is sent before that."""
    worker = make()
    worker.client.loses_answer(request_)
    sent: list[Digest] = []
    worker.client.on_upload = sent.append

    def repeats_everything(it: Any) -> None:
        it.worth_repeating = lambda error: isinstance(error, Transient)

    assert (worker.run(repeats_everything), worker.counts) == (
        ExitCode.OK,
        Counts(BOOKS, BOOKS),
    )
    truth = look(tmp_path / "shelf")
    assert (truth.ebooks, truth.ebooks_without_source) == (BOOKS, 0)
    assert (truth.working_titles, truth.hashes.total()) == (0, BOOKS)
    # After a lost `create` the server has lost the upload's place in no ebook.
    assert len(sent) == BOOKS + (request_ == "create")


def test_what_a_changed_script_met_is_read_back(
    make: Callable[..., WorkerHarness], shelf: Shelf
) -> None:
    """All of it, also where nothing was to be done, and though nobody asked for it."""
    worker = make("--audit", "off")
    assert worker.run() is ExitCode.OK
    patch(shelf, ebook_of(worker.options.state_dir, 3), title="Other")
    assert worker.run() is ExitCode.OK
    assert worker.said("Reading back") == 0
    worker.changed_script = "f" * 64
    assert worker.run() is ExitCode.DIFFERENCE
    assert worker.said(f"Reading back {BOOKS} of {BOOKS} changed books") == 1
    assert worker.said("stands a difference (wrong title)") == 1


def test_the_released_script_reads_back_what_a_changed_one_began(
    make: Callable[..., WorkerHarness],
) -> None:
    """The pass is the same, and a changed script may have worked in it."""
    worker = make("--limit", "2")
    worker.changed_script = "f" * 64
    assert worker.run() is ExitCode.OK
    worker.changed_script = ""
    worker.options = replace(worker.options, limit=0)
    assert worker.run() is ExitCode.OK
    assert worker.said(f"Reading back {BOOKS} of {BOOKS} changed books") == 1


def joins_a_part_of_the_library(it: Any) -> None:
    """As `joining` does, which compares the extent with the library's."""
    it.joining = SimpleNamespace(
        join=lambda _highest, listed: it.current.join(3, may_open=True, listed=listed)
    )


def says_that_no_pass_is_open(it: Any) -> None:
    """Then there would be nothing to do."""

    def migrate() -> ExitCode:
        it.current.none_open = True
        return ExitCode.OK

    it.migrate = migrate


def takes_part_in_another_pass(it: Any) -> None:
    """One in which no changed script is known to have worked."""

    def migrate() -> ExitCode:
        it.current.id = 1
        return it.conclusion.conclude(limit_reached=False, time_is_up=False)  # type: ignore[no-any-return]

    it.migrate = migrate


@pytest.mark.parametrize(
    "lie",
    [
        joins_a_part_of_the_library,
        says_that_no_pass_is_open,
        takes_part_in_another_pass,
    ],
    ids=lambda lie: lie.__name__,
)
def test_a_script_only_looks_at_its_pass(
    make: Callable[..., WorkerHarness], lie: Lie
) -> None:
    """What it tries ends it as any other fault of its own."""
    worker = make()
    # Which of them depends on Python's version.
    with pytest.raises((AttributeError, TypeError)):
        worker.run(lie)
    assert worker.counts == Counts()


#: What proves or accounts for something, and what leads to it.
RAW = (
    Accounting,
    ApiLane,
    BookshelfClient,
    CalibreLibrary,
    Conclusion,
    CurrentPass,
    Ledger,
    LocalTransport,
    Observed,
    Resources,
    Session,
)


def test_no_name_leads_a_script_to_what_is_unchecked(
    make: Callable[..., WorkerHarness],
) -> None:
    """From anything that it is given, by whatever is not private."""
    worker = make()
    assert worker.run() is ExitCode.OK
    found: dict[int, tuple[str, object]] = {}
    _walk("parts", worker.parts, found)
    assert len(found) > 30
    assert [name for name, one in found.values() if isinstance(one, RAW)] == []


def _walk(name: str, one: object, found: dict[int, tuple[str, object]]) -> None:
    """Adds our own objects that public names lead to."""
    ours = type(one).__module__.split(".")[0] in ("migration", "common", "tests")
    if not ours or id(one) in found:
        return
    found[id(one)] = (name, one)
    for attribute in dir(one):
        if not attribute.startswith("_"):
            _walk(f"{name}.{attribute}", getattr(one, attribute, None), found)


# -- how it ends -----------------------------------------------------------------------


class _Untold(Exception):
    def __str__(self) -> str:
        """As if a person had asked it to end."""
        raise SystemExit(0)


class _Done(Fatal):
    exit_code = ExitCode.OK


@pytest.mark.parametrize("where", ["migrate", "process_file", "check_api_connectivity"])
@pytest.mark.parametrize(
    "error",
    [
        BaseException("x"),
        CancelledError(),
        KeyboardInterrupt(),
        GeneratorExit(),
        SystemExit(0),
        _Untold(),
        _Done("done"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_no_error_of_the_script_is_an_end(
    tmp_path: Path,
    shelf: Shelf,
    workers: LocalWorkers,
    where: str,
    error: BaseException,
) -> None:
    """Python's own status would be 1, that of a pass which is done."""
    library = Library(tmp_path / "library")
    library.add(*epubs(range(1)))

    def fail(*_all: object) -> object:
        raise error

    lying = type("Lying", (CalibreMigrator,), {where: fail})
    given = [str(library.root), "--server", shelf.url]
    code, said = call_main(
        lambda: run_worker(sys.argv[1:], tmp_path, lying),
        [*given, "--state-dir", str(workers.state_dir)],
        MBS2_PASSWORD=PASSWORD,
    )
    assert code == ExitCode.INTERNAL, said
    told = progress.read(progress.progress_path(workers.state_dir, 1))
    assert told is not None
    assert told.last_error is not None
    if not isinstance(error, _Done):
        assert told.last_error.error_class == FalseClaim.__name__
        assert "the worker's script ended by " in told.last_error.message
    assert told.status is Phase.FAILED
