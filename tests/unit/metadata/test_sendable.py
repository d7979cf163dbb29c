"""Which files are refused before a byte is sent, with what is said."""

import pytest

from migration.errors import Rejected
from migration.metadata.sendable import (
    FRAMING_BYTES,
    LONGEST_EXTENSION,
    refuse_unsendable,
)
from migration.model import BookFile, BookId, FileId

LIMIT = 100_000


def file(size: int, kind: str) -> BookFile:
    """A file of this size and format."""
    return BookFile(FileId(BookId(1), kind), b"a", size, 1)


@pytest.mark.parametrize(
    ("size", "kind", "said"),
    [
        (1, "EPUB", ""),
        (LIMIT - FRAMING_BYTES, "EPUB", ""),
        (
            LIMIT - FRAMING_BYTES + 1,
            "EPUB",
            "98977 bytes; the server accepts 100000 with framing",
        ),
        (0, "EPUB", "the file is empty"),
        (1, "X" * LONGEST_EXTENSION, ""),
        (
            1,
            "X" * (LONGEST_EXTENSION + 1),
            "'XXXXXXXXXXXXXXXXX' is not a format a server could know",
        ),
        (1, "E/B", "'E/B' is not a format a server could know"),
        (1, "ÉPUB", "'ÉPUB' is not a format a server could know"),
        (1, "", "'' is not a format a server could know"),
    ],
)
def test_what_cannot_be_sent_is_said(size: int, kind: str, said: str) -> None:
    """Too big, empty, or of no format; everything else is sent."""
    try:
        refuse_unsendable(file(size, kind), LIMIT)
    except Rejected as refused:
        assert str(refused) == said
    else:
        assert said == ""
