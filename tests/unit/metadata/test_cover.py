"""Calibre's cover as it is sent: white behind transparency, RGB, and a reason for what
is no picture."""

import io
import struct
import zlib

import pytest
from PIL import Image

from migration.calibre.cover import sendable
from migration.errors import BadCover

RED, WHITE = (255, 0, 0), (255, 255, 255)


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
    """A picture as a file's bytes."""
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def drawn(data: bytes) -> Image.Image:
    """What is sent for a file, as a server would draw it."""
    picture = Image.open(sendable(io.BytesIO(data)))
    assert picture.format == "JPEG"
    picture.load()
    return picture


def close_to(picture: Image.Image, expected: tuple[int, ...]) -> bool:
    """Is the middle of the picture of this colour, but for what JPEG does to it?"""
    middle = picture.convert("RGB").getpixel((picture.width // 2, picture.height // 2))
    assert isinstance(middle, tuple)
    return all(
        abs(is_ - should) <= 6 for is_, should in zip(middle, expected, strict=True)
    )


def palette(*, transparent: bool) -> Image.Image:
    """A picture of one palette colour, red, transparent or not."""
    picture = Image.new("P", (40, 40), 1)
    picture.putpalette([0, 0, 0, *RED])
    if transparent:
        picture.info["transparency"] = 1
    return picture


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(
            encoded(Image.new("RGBA", (40, 40), (0, 0, 0, 0)), "PNG"),
            WHITE,
            id="PNG, transparent black",
        ),
        pytest.param(
            encoded(Image.new("RGBA", (40, 40), (255, 0, 0, 128)), "PNG"),
            (255, 127, 127),
            id="half",
        ),
        pytest.param(
            encoded(Image.new("LA", (40, 40), (0, 0)), "PNG"),
            WHITE,
            id="grey with transparency",
        ),
        pytest.param(
            encoded(palette(transparent=True), "PNG", transparency=1),
            WHITE,
            id="palette with transparency",
        ),
        pytest.param(
            encoded(palette(transparent=True), "GIF", transparency=1),
            WHITE,
            id="GIF with transparency",
        ),
        pytest.param(encoded(palette(transparent=False), "GIF"), RED, id="GIF"),
        pytest.param(
            encoded(Image.new("RGB", (40, 40), RED), "PNG", transparency=RED),
            WHITE,
            id="RGB, a key colour",
        ),
        pytest.param(
            encoded(Image.new("RGBA", (40, 40), (0, 0, 0, 0)), "WEBP"), WHITE, id="WebP"
        ),
        pytest.param(
            encoded(Image.new("CMYK", (40, 40), (0, 255, 255, 0)), "JPEG"),
            RED,
            id="CMYK",
        ),
        pytest.param(encoded(Image.new("1", (40, 40), 1), "PNG"), WHITE, id="one bit"),
        pytest.param(
            encoded(Image.new("I;16", (40, 40), 32768), "PNG"),
            (127, 127, 127),
            id="16 bits of grey",
        ),
        pytest.param(encoded(Image.new("RGB", (40, 40), RED), "BMP"), RED, id="BMP"),
    ],
)
def test_what_is_no_plain_jpeg_becomes_one(
    data: bytes, expected: tuple[int, ...]
) -> None:
    """In RGB, with white where it was transparent."""
    picture = drawn(data)
    assert picture.mode == "RGB"
    assert picture.size == (40, 40)
    assert close_to(picture, expected)


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_plain_jpeg_is_sent_as_it_is(mode: str) -> None:
    """Byte for byte, with whatever else is in it."""
    data = encoded(Image.new(mode, (60, 80), "white"), "JPEG", comment=b"mine")
    assert sendable(io.BytesIO(data)).read() == data


def bomb() -> bytes:
    """A PNG of 2 kB that would unpack to 10 GB."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body))
            + kind
            + body
            + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", 100_000, 100_000, 1, 0, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(bytes(1000)))
    )


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", "its file is empty", id="empty"),
        pytest.param(
            b'<svg xmlns="http://www.w3.org/2000/svg"/>', "SVG drawing", id="SVG"
        ),
        pytest.param(
            b'\xef\xbb\xbf<?xml version="1.0"?>\n<!-- x -->\n<SVG/>',
            "SVG drawing",
            id="SVG with a head",
        ),
        pytest.param(
            b"<html>not found</html>", "no picture that can be drawn", id="a page"
        ),
        pytest.param(b"%PDF-1.4", "no picture that can be drawn", id="something else"),
        pytest.param(
            bomb(),
            "100000x100000 pixels|no picture that can be drawn",
            id="a decompression bomb",
        ),
        pytest.param(
            encoded(Image.new("RGB", (400, 400), RED), "JPEG")[:700],
            "no picture",
            id="a torn JPEG",
        ),
        pytest.param(
            encoded(Image.effect_noise((99, 99), 90), "PNG")[:2000],
            "no picture",
            id="a torn PNG",
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused_with_the_reason(
    data: bytes, reason: str
) -> None:
    """Nothing is sent for it, and nobody has to guess why."""
    with pytest.raises(BadCover, match=reason):
        sendable(io.BytesIO(data))
