"""The only maker of `Evidence`: what the substrate rejects is about something, and is
said of nothing else."""

from collections.abc import Hashable, Iterator
from contextlib import contextmanager

from common.sanitize import for_log
from migration.errors import Evidence, Rejected


@contextmanager
def about(subject: Hashable) -> Iterator[None]:
    """What is rejected in this block speaks of the subject: a FileId, a BookId (every
    file of it) or a Digest.

    The innermost block has the say. Used where the substrate itself looks or translates
    the server's answer; an error that was raised anywhere else has no evidence, and no
    file fails for it."""
    try:
        yield
    except Rejected as error:
        if error.evidence is None:
            error.evidence = Evidence(error.reason, for_log(str(error)), subject)
        raise
