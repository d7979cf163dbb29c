"""Comparing one file of the library with the server.

It is there, missing, refused, unreadable or not known, with the reason.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from common.resources import raise_if_exhausted
from migration.calibre.library import CalibreLibrary
from migration.commands import failures
from migration.errors import RefusedByServer, Rejected, TooBig, Transient, Unsupported
from migration.lanes.api.file_stream import digest_of
from migration.metadata.mime import ANY_FORMAT
from migration.model import BookFile, Digest, Outcome
from migration.server.client import BookshelfClient
from migration.server.questions import Questions, Unanswered

#: The server's refusals, by their reasons in the ledger.
_REFUSALS = frozenset({TooBig.reason, Unsupported.reason, RefusedByServer.reason})


class Mark(StrEnum):
    """The result for one file."""

    THERE = "="  #: the server has these bytes
    MISSING = "-"  #: the server does not have them
    UNREADABLE = "!"  #: the library's file cannot be read
    REFUSED = "x"  #: the server refuses the file
    NOT_KNOWN = "?"  #: the server gave no answer


#: The marks in words.
WORDS = {
    Mark.THERE: "there",
    Mark.MISSING: "missing",
    Mark.UNREADABLE: "unreadable",
    Mark.REFUSED: "refused",
    Mark.NOT_KNOWN: "not known",
}


@dataclass(frozen=True, slots=True)
class ComparisonResult:
    """The verdict on one file.

    `note` says why a file is neither there nor missing. `gone` means that it is not
    known because the server has been away for too long.
    """

    mark: Mark
    file: BookFile
    digest: Digest | None
    note: str = ""
    gone: bool = False

    def line(self, *, as_json: bool) -> str:
        """Formats the verdict for output."""
        if not as_json:
            said = (
                self.note
                if self.mark is Mark.UNREADABLE
                else f"{WORDS[self.mark]}: {self.note}"
            )
            return f"{self.mark} {self.file.id}{f' {said}' if self.note else ''}"
        return json.dumps(
            {
                "book_id": self.file.id.book_id,
                "format": self.file.id.format,
                "mark": self.mark.value,
                "state": WORDS[self.mark],
                "sha1": self.digest.sha1 if self.digest else None,
                "size": self.digest.size if self.digest else None,
                "note": self.note,
            },
            ensure_ascii=False,
        )


class Comparer:
    """Compares files. Thread-safe."""

    def __init__(
        self,
        library: CalibreLibrary,
        client: BookshelfClient,
        ledger: Path,
        questions: Questions,
        heed_stop: Callable[[], None],
    ) -> None:
        """`heed_stop` is called between blocks of a file and may raise."""
        self._library = library
        self._client = client
        self._ledger = ledger
        self._questions = questions
        self._heed_stop = heed_stop

    def compare(self, file: BookFile) -> ComparisonResult:
        """Returns the verdict on one file. Raises Fatal and what `heed_stop` raises."""
        if file.problem is not None:
            return ComparisonResult(Mark.UNREADABLE, file, None, file.problem.message)
        try:
            with self._library.open_file(file.path) as opened:
                digest = digest_of(opened, self._heed_stop)
        except Rejected as error:
            return ComparisonResult(Mark.UNREADABLE, file, None, str(error))
        except OSError as error:
            raise_if_exhausted(error)
            return ComparisonResult(
                Mark.UNREADABLE, file, None, f"cannot be read: {error.strerror}"
            )
        try:
            return self._asked(file, digest)
        except Transient as error:
            gone = isinstance(error, Unanswered) and error.gone
            return ComparisonResult(Mark.NOT_KNOWN, file, digest, str(error), gone)

    def _asked(self, file: BookFile, digest: Digest) -> ComparisonResult:
        answer = self._answer(digest, file.id.format.lower())
        if isinstance(answer, Unsupported) and self._answer(digest, ANY_FORMAT) is True:
            # An unsupported format says nothing about the bytes: the server may have
            # them under another one.
            answer = True
        if answer is True:
            return ComparisonResult(Mark.THERE, file, digest)
        if isinstance(answer, TooBig) and self._was_there(file):
            return ComparisonResult(
                Mark.NOT_KNOWN,
                file,
                digest,
                f"{answer} any more, and does not say whether it has this one",
            )
        if isinstance(answer, TooBig | Unsupported):
            return ComparisonResult(
                Mark.REFUSED, file, digest, f"{answer.reason} ({answer})"
            )
        before = self._refused_before(file, digest)
        if before is not None or answer is False:
            return before or ComparisonResult(Mark.MISSING, file, digest)
        return ComparisonResult(Mark.NOT_KNOWN, file, digest, str(answer))

    def _answer(self, digest: Digest, extension: str) -> bool | Rejected:
        """Whether the server has these bytes, or its refusal to say.

        Raises Unanswered.
        """
        if not (extension.isascii() and extension.isalnum()):
            return Unsupported("it is not a format a server could know")
        try:
            return (
                self._questions.ask(lambda: self._client.check(digest, extension))
                is not None
            )
        except Rejected as refusal:
            return refusal

    def _was_there(self, file: BookFile) -> bool:
        recorded = failures.recorded(self._ledger, file)
        return recorded is not None and recorded[0] in (
            Outcome.UPLOADED,
            Outcome.DUPLICATE,
        )

    def _refused_before(
        self, file: BookFile, digest: Digest
    ) -> ComparisonResult | None:
        """Returns the refusal of these bytes that the ledger recorded, if any.

        Some files are refused only when they are sent.
        """
        recorded = failures.recorded(self._ledger, file)
        if (
            recorded is None
            or recorded[0] is not Outcome.FAILED
            or recorded[1] not in _REFUSALS
        ):
            return None
        return ComparisonResult(
            Mark.REFUSED, file, digest, f"{recorded[1]} ({recorded[2]})"
        )
