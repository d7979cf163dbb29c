"""Calibre's `books.last_modified`: text in metadata.db, usually UTC with microseconds."""

from datetime import UTC, datetime, timedelta

#: Clocks of the machines that wrote the two times may differ by this much.
TOLERANCE = timedelta(hours=1)


def is_before(modified: bytes, moment: datetime) -> bool:
    """Whether the book was certainly last modified before this moment (aware, UTC).

    False for what is no time. A time without a zone is UTC, as Calibre's column default
    is.
    """
    try:
        found = datetime.fromisoformat(modified.decode("ascii"))
    except (UnicodeDecodeError, ValueError):
        return False
    if found.tzinfo is None:
        found = found.replace(tzinfo=UTC)
    return found < moment - TOLERANCE
