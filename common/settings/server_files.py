"""Settings of the server that say where and how it keeps its books' files.

`settings.py` has the same for MyBookshelf2, which gets nothing of ours but that file; a
test compares them. The direct lane writes what the server would have written.
"""

from dataclasses import dataclass
from pathlib import Path

from common.settings import kinds
from common.settings.setting import setting

_ALONE = "%(title)s"
_IN_SERIES = "%(serie)s %(serie_index)d - %(title)s"


@dataclass(frozen=True, kw_only=True)
class ServerFiles:
    """The server's own, where it has other ones than MyBookshelf2's defaults."""

    books_base_dir: Path | None = setting(
        kinds.path(),
        None,
        container=False,
        default_text="books in MBS2_DATA_DIR",
        what="the server's BOOKS_BASE_DIR, where books are kept",
    )
    thumbs_dir: Path | None = setting(
        kinds.path(),
        None,
        container=False,
        default_text="thumbs in MBS2_DATA_DIR",
        what="the server's THUMBS_DIR, where thumbnails are kept",
    )
    upload_dir: Path | None = setting(
        kinds.path(),
        None,
        container=False,
        default_text="uploads in MBS2_DATA_DIR",
        what="the server's UPLOAD_DIR, where uploads wait",
    )
    books_file_schema: str = setting(
        kinds.text(),
        f"%(author)s/{_ALONE}(%(language)s)/%(author)s - {_ALONE}",
        container=False,
        what="the server's BOOKS_FILE_SCHEMA, by which books are named on disk",
    )
    books_file_schema_serie: str = setting(
        kinds.text(),
        f"%(author)s/%(serie)s/{_IN_SERIES}(%(language)s)/%(author)s - {_IN_SERIES}",
        container=False,
        what="the server's BOOKS_FILE_SCHEMA_SERIE, the same for books of a series",
    )
    cover_size: tuple[int, int] = setting(
        kinds.pixels(),
        (320, 452),
        unit="pixels",
        container=False,
        default_text="320x452",
        what="the server's COVER_SIZE, within which covers are drawn",
    )
    thumbnail_size: tuple[int, int] = setting(
        kinds.pixels(),
        (100, 140),
        unit="pixels",
        container=False,
        default_text="100x140",
        what="the server's THUMBNAIL_SIZE",
    )
