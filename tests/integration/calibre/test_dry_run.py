"""`--dry-run` beside Calibre's own edits: what it foretells is what the run does."""

import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.environment import PROJECT, clean_environment, needs
from tests.support.libraries.librarykit import Library, Made, epub
from tests.support.libraries.updatekit import picture
from tests.support.migration.plankit import done, everything_in, foretold
from tests.support.migration.workers import Workers
from tests.support.servers.shelf import Shelf

# calibredb refuses to run twice at the same time, whatever the libraries.
pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("calibredb")]


def calibredb(library: Path, *words: str) -> None:
    """Runs it, again while another one of this user is running."""
    deadline = time.monotonic() + 120
    environment = {**os.environ, "QT_QPA_PLATFORM": "offscreen"}
    command = ["calibredb", *words, "--with-library", str(library)]
    while True:
        ended = subprocess.run(
            command,
            env=environment,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if ended.returncode == 0:
            return
        said = ended.stdout + ended.stderr
        assert "Another calibre program" in said, said
        assert time.monotonic() < deadline, said


def test_what_calibre_edits_is_foretold(
    small_library: Path, tmp_path: Path, shelf: Shelf, workers: Workers
) -> None:
    """Title, tags, rating, cover, author, new and removed books, embedded metadata."""
    needs("calibredb")
    library = tmp_path / "library"
    shutil.copytree(small_library, library)
    # What metadata is embedded into has to be a book that Calibre itself would write.
    code, said = workers.run(library, shelf)
    assert code == 1, said

    for number in range(4):
        (tmp_path / "new").mkdir(exist_ok=True)
        (tmp_path / "new" / f"{number}.epub").write_bytes(
            epub(700 + number, title=f"New {number}", author=f"Newcomer {number}")
        )
    calibredb(library, "add", "-r", str(tmp_path / "new"))
    code, said = workers.run(library, shelf, "--dry-run", "--json")
    assert (code, foretold(said)["sent"]) == (0, 4), said

    for field in ("title:First", "tags:History", "rating:5", "authors:Somebody Else"):
        calibredb(library, "set_metadata", "1", "--field", field)
    calibredb(library, "set_metadata", "2", "--field", "title:Second")
    (tmp_path / "cover.jpg").write_bytes(picture("green"))
    calibredb(
        library, "set_metadata", "3", "--field", f"cover:{tmp_path / 'cover.jpg'}"
    )
    calibredb(library, "remove", "60,61")
    for number in range(10, 15):
        calibredb(
            library, "set_metadata", str(number), "--field", f"comments:<p>{number}</p>"
        )
    calibredb(library, "embed_metadata", "10-15")
    before = everything_in(tmp_path)
    code, said = workers.run(library, shelf, "--dry-run", "--json")
    assert code == 0, said
    assert everything_in(tmp_path) == before
    plan = foretold(said)
    assert json.loads(said.splitlines()[-1])["files"]["replaced"] >= 5
    assert plan["books removed"] == 2
    assert plan["fields"]["title"] == 2
    code, said = workers.run(library, shelf)
    assert code == 1, said
    assert plan == done(workers.state_dir / "migration_ledger.db")


def test_start_says_the_same_and_starts_nothing(
    tmp_path: Path, shelf: Shelf, workers: Workers
) -> None:
    """`./start.sh --dry-run` and the worker's: one meaning, also before any start."""
    library = Library(tmp_path / "library")
    library.add(*(Made(files={"EPUB": epub(n)}) for n in range(3)))
    home = tmp_path / "home"
    home.mkdir()
    before = everything_in(tmp_path)

    def start(*options: str, **environment: str) -> tuple[int, str, str]:
        ended = subprocess.run(
            [
                sys.executable,
                "-m",
                "deploy.launch",
                "--library",
                str(library.root),
                "--dry-run",
                *options,
            ],
            cwd=PROJECT,
            env=clean_environment(HOME=str(home), **environment),
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        return ended.returncode, ended.stdout, ended.stderr

    code, said, aside = start("--json", "--ids", "2-3")
    assert code == 0, aside
    assert json.loads(said)["send"]["files"] == 2
    assert json.loads(said)["selection"]["words"] == "ids 2-3"
    assert everything_in(tmp_path) == before
    code, said = workers.run(library.root, shelf, "--limit", "1")
    assert code == 0, said
    before = everything_in(tmp_path)
    code, said, aside = start(STATE_DIR=str(workers.state_dir))
    assert code == 0, aside
    # The terminal breaks a long line.
    assert "(pass 1 is open)" in " ".join(said.split())
    assert everything_in(tmp_path) == before
    code, said, aside = start("--json", STATE_DIR=str(workers.state_dir))
    of_worker = workers.run(library.root, shelf, "--dry-run", "--json")[1]
    assert json.loads(said) == json.loads(of_worker.splitlines()[-1])
