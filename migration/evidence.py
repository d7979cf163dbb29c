"""The only maker of `Evidence`, which ties a rejection to its file or book."""

from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from common.sanitize import for_log
from migration.errors import Evidence, Rejected


@contextmanager
def about(subject: Hashable) -> Iterator[None]:
    """Ties what is rejected in this block to a subject.

    The subject is a FileId, a BookId (every file of it) or a Digest; the innermost
    block wins. It is used where trusted code itself checks a file or translates the
    server's answer. An error raised anywhere else has no evidence, and no file fails
    for it.
    """
    try:
        yield
    except Rejected as error:
        if error.evidence is None:
            error.evidence = Evidence(error.reason, for_log(str(error)), subject)
        raise
