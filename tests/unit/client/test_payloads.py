"""Bodies that are streamed, and ebooks that are known without asking."""

import io
from email import message_from_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migration.model import EbookId, SourceId
from migration.server.payloads import Ebook, Multipart, made


@given(content=st.binary(max_size=3000), block=st.integers(1, 4000))
def test_a_streamed_body_is_a_multipart_body_with_the_content(
    content: bytes, block: int
) -> None:
    """Whatever the size of the blocks it is read in: as long as announced, one part
    `file`, these bytes."""
    body = Multipart(
        "a.epub", io.BytesIO(content), len(content), "application/epub+zip"
    )
    announced, read = body.len, b""
    while piece := body.read(block):
        read += piece
    assert len(read) == announced
    message = message_from_bytes(
        f"Content-Type: {body.content_type}\r\n\r\n".encode() + read
    )
    parts = message.get_payload()
    assert isinstance(parts, list)
    (part,) = parts
    assert not isinstance(part, str)
    assert part.get_filename() == "a.epub"
    assert part.get_param("name", header="content-disposition") == "file"
    assert read.split(b"\r\n\r\n", 1)[1].startswith(content)


@pytest.mark.parametrize(
    ("covers", "version", "cover"),
    [
        ((False,), 1, False),
        ((True,), 2, True),
        ((True, True), 2, True),
        ((False, True), 2, True),
    ],
)
def test_only_the_first_cover_makes_a_version(
    covers: tuple[bool, ...], version: int, cover: bool
) -> None:
    """As the server counts: made with 1, one more when it takes a cover."""
    ebook = made(EbookId(7), "t", {})
    for number, has in enumerate(covers):
        ebook = ebook.with_source(SourceId(number), "epub", 5, cover=has)
    sources = tuple((SourceId(number), "epub", 5) for number in range(len(covers)))
    assert ebook == Ebook(EbookId(7), version, "t", cover, {}, sources, guessed=True)
