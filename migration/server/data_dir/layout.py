"""Where and how a server keeps its books' files, by its own settings."""

from dataclasses import dataclass
from pathlib import Path

from common.settings.server_files import ServerFiles
from migration.errors import DataDirUnusable
from migration.server.data_dir.covers import KEEP_BYTES, Drawing
from migration.server.data_dir.names import Naming
from migration.server.data_dir.places import Places


@dataclass(frozen=True, slots=True)
class Layout:
    """Directories, names and pictures."""

    places: Places
    naming: Naming
    drawing: Drawing


def layout(settings: ServerFiles, data_dir: Path, *, keep_covers: bool) -> Layout:
    """Returns what the server's settings mean. Raises DataDirUnusable."""
    usual = Places.below(data_dir)
    try:
        naming = Naming(settings.books_file_schema, settings.books_file_schema_serie)
    except ValueError as error:
        raise DataDirUnusable(
            f"{error}; give the migration the server's own, or use --lane api"
        ) from error
    return Layout(
        Places(
            settings.books_base_dir or usual.books,
            settings.thumbs_dir or usual.thumbnails,
            settings.upload_dir or usual.uploads,
        ),
        naming,
        Drawing(
            settings.cover_size,
            settings.thumbnail_size,
            KEEP_BYTES if keep_covers else 0,
        ),
    )
