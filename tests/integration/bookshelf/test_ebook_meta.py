"""What Calibre's real `ebook-meta` finds in an uploaded file."""

import asyncio
import shutil
from pathlib import Path

import pytest

from bookshelf.content.extract import examine
from bookshelf.storage.files import FileStore
from tests.support.environment import PROJECT

pytestmark = [pytest.mark.integration, pytest.mark.usefixtures("real_ebook_meta")]


def test_the_title_inside_a_mobi(tmp_path: Path) -> None:
    """With its authors; the server shows them before anybody edits the ebook."""
    path = tmp_path / "upload.mobi"
    shutil.copyfile(next((PROJECT / "demo" / "library").rglob("*.mobi")), path)
    found = asyncio.run(examine(FileStore(tmp_path / "shelf"), path))
    assert found.size == path.stat().st_size
    assert found.meta == {
        "title": "The Mapmaker's Holiday",
        "authors": [{"last_name": "Adeyemi", "first_name": "Olu"}],
        "language": {"code": "eng"},
    }
