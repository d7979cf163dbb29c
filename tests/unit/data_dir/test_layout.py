"""What the server's own settings mean for its files."""

import dataclasses
import runpy
from pathlib import Path

import pytest

from common.settings.server_files import ServerFiles
from migration.errors import DataDirUnusable
from migration.server.data_dir.covers import KEEP_BYTES, Drawing
from migration.server.data_dir.layout import Layout, layout
from migration.server.data_dir.names import Naming
from migration.server.data_dir.places import Places
from tests.support.environment import PROJECT

DATA = Path("/data")


def test_without_settings_all_is_as_mybookshelf2_has_it() -> None:
    """Below its data directory."""
    assert layout(ServerFiles(), DATA, keep_covers=False) == Layout(
        Places(DATA / "books", DATA / "thumbs", DATA / "uploads"), Naming(), Drawing()
    )


def test_the_servers_settings_win() -> None:
    """Each of them."""
    settings = ServerFiles(
        books_base_dir=Path("/b"),
        thumbs_dir=Path("/t"),
        upload_dir=Path("/u"),
        books_file_schema="%(title)s/%(title)s",
        books_file_schema_serie="%(serie)s/%(title)s",
        cover_size=(640, 904),
        thumbnail_size=(200, 280),
    )
    assert layout(settings, DATA, keep_covers=True) == Layout(
        Places(Path("/b"), Path("/t"), Path("/u")),
        Naming("%(title)s/%(title)s", "%(serie)s/%(title)s"),
        Drawing((640, 904), (200, 280), KEEP_BYTES),
    )


def test_names_that_cannot_be_used_are_refused() -> None:
    """With the setting's name, and what to do."""
    settings = ServerFiles(books_file_schema="%(title)s")
    with pytest.raises(
        DataDirUnusable, match=r"BOOKS_FILE_SCHEMA names no folder.*api"
    ):
        layout(settings, DATA, keep_covers=False)


def test_the_defaults_are_those_of_the_servers_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """As `settings.py` hands them to MyBookshelf2."""
    for field in dataclasses.fields(ServerFiles):
        monkeypatch.delenv(field.name.upper(), raising=False)
    monkeypatch.setenv("MBS2_DATA_DIR", str(DATA))
    servers = runpy.run_path(str(PROJECT / "settings.py"))
    ours = ServerFiles()
    assert layout(ours, DATA, keep_covers=False).places == Places(
        *(
            Path(servers[name])
            for name in ("BOOKS_BASE_DIR", "THUMBS_DIR", "UPLOAD_DIR")
        )
    )
    for name in ("books_file_schema", "books_file_schema_serie"):
        assert getattr(ours, name) == servers[name.upper()]
    for name in ("cover_size", "thumbnail_size"):
        assert getattr(ours, name) == servers[name.upper()]
    assert Naming(ours.books_file_schema, ours.books_file_schema_serie) == Naming()
    assert Drawing(ours.cover_size, ours.thumbnail_size) == Drawing()
