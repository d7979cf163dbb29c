"""How a worker starts, in one process: what it refuses, what it puts out of its way."""

import threading
from pathlib import Path

import pytest

import bulk_migrate_calibre
from migration.errors import LedgerCorrupt
from migration.state_files.owner import WorkerLock, this_process
from tests.support.environment import PASSWORD
from tests.support.libraries.librarykit import Library, epubs
from tests.support.migration.workerkit import counts_of, lines_of, wait_for
from tests.support.servers.inprocess import LocalWorkers, call_main
from tests.support.servers.shelf import Shelf


@pytest.fixture
def library(tmp_path: Path) -> Library:
    """Two books."""
    made = Library(tmp_path / "library")
    made.add(*epubs(range(2)))
    return made


@pytest.mark.parametrize(
    ("options", "environment", "code", "words"),
    [
        ([], {}, 2, "no library given: name the folder with metadata.db"),
        (["LIBRARY", "--limit", "x"], {}, 2, "--limit"),
        (["LIBRARY", "--nice", "20"], {}, 2, "is not a whole number from -20 to 19"),
        (["LIBRARY", "--verify", "--dry-run"], {}, 2, "not allowed with"),
        (["LIBRARY"], {"BATCH_SIZE": "many"}, 2, "BATCH_SIZE='many'"),
        (["LIBRARY"], {"MBS2_PASSWORD": ""}, 2, "no password for 'admin'"),
        (["LIBRARY/nowhere"], {}, 4, "nowhere"),
        (["LIBRARY", "--export-map", "m.csv"], {}, 2, "nothing was migrated"),
    ],
)
def test_what_is_refused_with_a_sentence(
    library: Library,
    tmp_path: Path,
    options: list[str],
    environment: dict[str, str],
    code: int,
    words: str,
) -> None:
    """And a status of its own; nothing is asked of the server."""
    given = [word.replace("LIBRARY", str(library.root)) for word in options]
    where = ["--server", "http://127.0.0.1:9", "--state-dir", str(tmp_path / "state")]
    told = {"MBS2_PASSWORD": "x", **environment}
    status, said = call_main(bulk_migrate_calibre.main, [*given, *where], **told)
    assert (status, words in said) == (code, True), said
    assert "Traceback" not in said


def test_directories_in_the_place_of_its_files_are_moved_away(
    library: Library, shelf: Shelf, workers: LocalWorkers
) -> None:
    """It says so, and goes on."""
    names = (
        "migration_worker1.log",
        "migration_worker1.stack",
        "migration_progress_worker1.json",
        "not_carried.jsonl",
    )
    for name in names:
        (workers.state_dir / name).mkdir(parents=True)
    code, said = workers.run(library.root, shelf, RECONCILE_AFTER_SECONDS="0.1")
    assert code == 0, said
    for name in names:
        assert f"{name} was a directory, not a file; it is now " in said
    assert (workers.state_dir / names[0]).is_file()


def test_a_worker_id_that_runs_already_is_taken(
    library: Library, shelf: Shelf, workers: LocalWorkers
) -> None:
    """Status 7."""
    workers.state_dir.mkdir()
    lock = WorkerLock(workers.state_dir, this_process(1))
    code, said = workers.run(library.root, shelf)
    lock.release()
    assert (code, "already running" in said) == (7, True), said


def test_without_a_state_directory_it_finds_one(library: Library, shelf: Shelf) -> None:
    """The first run makes it below the home; --verify finds it again."""
    given = [str(library.root), "--server", shelf.url]
    code, said = call_main(bulk_migrate_calibre.main, given, MBS2_PASSWORD=PASSWORD)
    assert (code, "The state is in " in said) == (0, True), said
    code, said = call_main(
        bulk_migrate_calibre.main,
        [str(library.root), "--verify"],
        MBS2_PASSWORD=PASSWORD,
    )
    assert code == 0, said
    assert said.count("= ") == 2


def test_a_verification_without_a_migration_has_nothing_to_compare(
    library: Library, shelf: Shelf
) -> None:
    """No state directory belongs to this library: every file is asked about."""
    given = [str(library.root), "--server", shelf.url, "--verify"]
    code, said = call_main(bulk_migrate_calibre.main, given, MBS2_PASSWORD=PASSWORD)
    assert code == 1, said
    assert [line for line in said.splitlines() if line.startswith("- ")] != []


def test_failed_files_are_tried_again_when_asked(
    library: Library, shelf: Shelf, workers: LocalWorkers
) -> None:
    """Their number is said."""
    data = library.file(1).read_bytes()
    library.file(1).write_bytes(b"")
    assert workers.run(library.root, shelf)[0] == 1
    library.file(1).write_bytes(data)
    assert workers.run(library.root, shelf, "--retry-failed")[0] == 0
    assert "1 failed files are pending again" in lines_of(workers)
    assert counts_of(workers).failed == 0


def test_a_joining_worker_opens_no_pass(
    library: Library, shelf: Shelf, workers: LocalWorkers
) -> None:
    """Until somebody has opened one."""
    code, said = workers.run(library.root, shelf, "--join-only")
    assert code == 0, said
    assert workers.run(library.root, shelf, "--open-pass")[0] == 0
    assert workers.run(library.root, shelf, "--join-only")[0] == 0
    assert counts_of(workers).uploaded == 2


def test_no_uploader_outlives_its_worker(
    library: Library, shelf: Shelf, workers: LocalWorkers
) -> None:
    """Idle ones end with it, also where the process goes on."""
    before = set(threading.enumerate())
    assert workers.run(library.root, shelf)[0] == 0
    uploaders = [
        thread
        for thread in set(threading.enumerate()) - before
        if thread.name.startswith("uploader-")
    ]
    wait_for(lambda: not any(thread.is_alive() for thread in uploaders))


def test_ndjson_is_written_beside_the_log(
    library: Library, shelf: Shelf, workers: LocalWorkers
) -> None:
    """When asked for."""
    assert workers.run(library.root, shelf, LOG_FORMAT="json")[0] == 0
    text = (workers.state_dir / "migration_worker1.ndjson").read_text("utf-8")
    assert '"event": "uploaded"' in text or '"event":"uploaded"' in text


def test_an_unforeseen_error_is_70_with_its_place(
    library: Library,
    shelf: Shelf,
    workers: LocalWorkers,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """In the log; the progress file says that it failed."""

    def broken(*_arguments: object) -> bool:
        raise KeyError("nobody foresaw this")

    monkeypatch.setattr(
        bulk_migrate_calibre.CalibreMigrator, "check_api_connectivity", broken
    )
    code, said = workers.run(library.root, shelf)
    assert code == 70
    assert "nobody foresaw this" in said
    assert any("KeyError" in line for line in lines_of(workers))


def test_a_damaged_ledger_in_mid_run_is_9(
    library: Library,
    shelf: Shelf,
    workers: LocalWorkers,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The next start sets it aside and makes up for it."""

    def broken(*_arguments: object) -> bool:
        raise LedgerCorrupt("database disk image is malformed")

    with monkeypatch.context() as patched:
        patched.setattr(
            bulk_migrate_calibre.CalibreMigrator, "check_api_connectivity", broken
        )
        assert workers.run(library.root, shelf)[0] == 9
    code, said = workers.run(library.root, shelf, RECONCILE_AFTER_SECONDS="0.1")
    assert code == 0, said
    assert counts_of(workers).discovered == 2


def test_the_version_of_help(library: Library) -> None:
    """--help names every status and ends with 0."""
    code, said = call_main(bulk_migrate_calibre.main, ["--help"])
    assert code == 0
    assert "exit status:" in said
