"""Shared code of the JSON files: values by cattrs, damaged files set aside."""

from datetime import datetime
from pathlib import Path

from cattrs import Converter

from common import codec
from common.files.json_files import StateUnwritable
from migration.model import BookId, FileId


def make_converter() -> Converter:
    """Returns a converter that writes a file of a book as its id and format."""
    made = codec.converter()
    made.register_unstructure_hook(FileId, lambda file: [file.book_id, file.format])
    made.register_structure_hook(FileId, lambda value, _kind: _file(value))
    return made


def _file(value: object) -> FileId:
    if not isinstance(value, list | tuple):
        raise TypeError(value)
    book, form = value
    if type(book) is not int or not isinstance(form, str):
        raise ValueError(value)
    return FileId(BookId(book), form)


#: For the history and the state.
converter = make_converter()


def set_aside(path: Path, now: datetime) -> Path:
    """Renames a file that is not ours, so that nothing is lost; returns the new path.

    Raises StateUnwritable.
    """
    aside = path.with_name(f"{path.stem}.damaged-{now:%Y%m%dT%H%M%S}{path.suffix}")
    try:
        return path.rename(aside)
    except OSError as error:
        raise StateUnwritable(
            f"cannot set {path} aside: {error.strerror}; make its directory writable"
        ) from error
