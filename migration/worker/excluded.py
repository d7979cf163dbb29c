"""Which files the user does not want, by the options alone. Pure."""

from collections.abc import Collection

from migration.model import BookFile

ORIGINAL = "Calibre's original of a converted file"
NOT_ASKED = "format not asked for"


def excluded(file: BookFile, formats: Collection[str]) -> str:
    """Returns why the user does not want this file, or "".

    Empty `formats` means all of them.
    """
    if file.id.format.startswith("ORIGINAL_"):
        return ORIGINAL
    if formats and file.id.format not in formats:
        return NOT_ASKED
    return ""
