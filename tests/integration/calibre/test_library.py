"""Reading real and damaged Calibre libraries; nothing is ever written to them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from migration.calibre.library import CalibreLibrary
from migration.errors import (
    Rejected,
    Unreadable,
)
from tests.support.environment import PROJECT, needs
from tests.support.libraries.librarykit import Library, Made, epub

pytestmark = pytest.mark.integration


@pytest.fixture
def library(tmp_path: Path) -> Library:
    """A library of one book."""
    made = Library(tmp_path / "library")
    made.add(Made(title="One", files={"EPUB": epub(1)}))
    return made


def test_an_unreadable_file_is_reported_when_it_is_opened(library: Library) -> None:
    """As another user than root."""
    library.file(1).chmod(0)
    script = (
        "import os, sys\nfrom pathlib import Path\nfrom migration.calibre.library "
        "import CalibreLibrary\n"
        "from migration.errors import Unreadable\n"
        "os.getuid() or (os.setgroups([]), os.setgid(65534), os.setuid(65534))\n"
        "with CalibreLibrary(Path(sys.argv[1]), Path('/nonexistent')) as opened:\n"
        "    try:\n        opened.open_file(b'Author/Book (1)/file.epub')\n"
        "    except Unreadable as error:\n        print('unreadable', error)\n"
    )
    for folder in (library.root, *library.root.parents):
        if (
            folder.stat().st_uid == os.getuid()
            and folder.stat().st_mode & 0o005 != 0o005
            and folder != Path("/")
        ):
            folder.chmod(folder.stat().st_mode | 0o055)
    done = subprocess.run(
        [sys.executable, "-c", script, str(library.root)],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.stdout.startswith(
        "unreadable 'Author/Book (1)/file.epub' cannot be read"
    ), done.stderr
    assert issubclass(Unreadable, Rejected)


@pytest.mark.xdist_group("calibredb")
def test_calibre_can_use_the_library_while_it_is_open(library: Library) -> None:
    """`calibredb list` works beside an open reader."""
    needs("calibredb")
    with CalibreLibrary(library.root, library.root.parent / "private") as opened:
        opened.read_books(1, 10)
        done = subprocess.run(
            ["calibredb", "list", "--for-machine", "--with-library", str(library.root)],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
            env={**os.environ, "QT_QPA_PLATFORM": "offscreen"},
        )
    assert done.returncode == 0, done.stderr
    assert [book["title"] for book in json.loads(done.stdout)] == ["One"]
