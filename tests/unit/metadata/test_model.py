"""The nouns: what cannot be expressed."""

from dataclasses import FrozenInstanceError

import pytest

from migration.errors import Evidence
from migration.model import (
    BookId,
    Counts,
    Digest,
    EbookId,
    FileId,
    Known,
    Outcome,
    Receipt,
    SourceId,
    UploadResult,
)

FILE = FileId(BookId(1), "EPUB")
DIGEST = Digest("0" * 40, 5)
RECEIPT = Receipt(DIGEST, EbookId(1), SourceId(2))


@pytest.mark.parametrize(
    "make",
    [
        pytest.param(
            lambda: UploadResult(FILE, Outcome.UPLOADED),
            id="uploaded without a receipt",
        ),
        pytest.param(
            lambda: UploadResult(FILE, Outcome.UPLOADED, Known(DIGEST)),
            id="uploaded with the wrong proof",
        ),
        pytest.param(
            lambda: UploadResult(FILE, Outcome.DUPLICATE),
            id="duplicate without knowledge",
        ),
        pytest.param(
            lambda: UploadResult(FILE, Outcome.FAILED), id="failed without evidence"
        ),
        pytest.param(
            lambda: UploadResult(FILE, Outcome.FAILED, reason="server error"),
            id="failed by somebody's word",
        ),
        pytest.param(
            lambda: UploadResult(FILE, Outcome.FAILED, RECEIPT, "x"),
            id="failed with a receipt",
        ),
        pytest.param(
            lambda: UploadResult(FILE, Outcome.PENDING), id="pending is no result"
        ),
        pytest.param(lambda: Digest("ABC", 5), id="not a SHA-1"),
        pytest.param(
            lambda: Digest("A" * 40, 5), id="upper case never matches on the server"
        ),
        pytest.param(lambda: Digest("0" * 40, -1), id="a negative size"),
    ],
)
def test_what_cannot_be_said(make: object) -> None:
    """A success without proof, an identity that is none."""
    with pytest.raises(ValueError, match=r"\S"):
        make()  # type: ignore[operator]  # a lambda


def test_results_with_their_proof() -> None:
    """What can be said."""
    assert UploadResult(FILE, Outcome.UPLOADED, RECEIPT).proof is RECEIPT
    assert (
        UploadResult(FILE, Outcome.DUPLICATE, Known(DIGEST)).outcome
        is Outcome.DUPLICATE
    )
    failed = UploadResult(
        FILE, Outcome.FAILED, Evidence("empty", "the file is empty", FILE)
    )
    assert (failed.reason, failed.message) == ("empty", "the file is empty")
    assert (
        UploadResult(FILE, Outcome.SKIPPED, reason="format not asked for").proof is None
    )


def test_nouns_are_frozen() -> None:
    """Nobody changes a receipt."""
    with pytest.raises(FrozenInstanceError):
        RECEIPT.source_id = SourceId(3)  # type: ignore[misc]  # the point of the test


@pytest.mark.parametrize(
    ("counts", "balanced"),
    [
        (Counts(), True),
        (Counts(5, 1, 1, 1, 1, 1), True),
        (Counts(5, 1, 1, 1, 1), False),
        (Counts(0, 1), False),
    ],
)
def test_the_equation(counts: Counts, balanced: bool) -> None:
    """discovered = uploaded + duplicate + skipped + failed + pending."""
    assert counts.balanced() is balanced
