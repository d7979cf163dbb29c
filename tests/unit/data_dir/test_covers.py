"""Calibre's cover as the server would make it: sizes, ground, quality, refusals."""

import io
import struct
import zlib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from migration.errors import BadCover
from migration.server.data_dir.covers import (
    Drawing,
    Pictures,
    divisor,
    draw,
    fit,
    silence,
)

BOX, SMALL = (320, 452), (100, 140)
RED, WHITE = (255, 0, 0), (255, 255, 255)
RESIZE, KEEP = Drawing(), Drawing(keep_bytes=100_000)


@pytest.fixture(autouse=True)
def _silent() -> None:
    """As in the process that draws covers."""
    silence()


def scene(size: tuple[int, int], mode: str = "RGB") -> Image.Image:
    """A picture whose upper half is darker than the lower one."""
    return Image.linear_gradient("L").resize(size).convert(mode)


def encoded(picture: Image.Image, kind: str = "JPEG", **options: object) -> bytes:
    """A picture as a file's bytes."""
    made = io.BytesIO()
    picture.save(made, kind, **options)
    return made.getvalue()


def opened(data: bytes) -> Image.Image:
    """A JPEG, decoded."""
    picture = Image.open(io.BytesIO(data))
    assert picture.format == "JPEG"
    picture.load()
    return picture


def sizes(made: Pictures) -> tuple[tuple[int, int], tuple[int, int]]:
    """Of cover and thumbnail."""
    return opened(made.cover).size, opened(made.thumbnail).size


def middle(data: bytes) -> tuple[int, ...]:
    """The colour in the middle."""
    picture = opened(data).convert("RGB")
    found = picture.getpixel((picture.width // 2, picture.height // 2))
    assert isinstance(found, tuple)
    return found


@pytest.mark.parametrize(
    ("size", "cover", "thumbnail"),
    [
        ((600, 900), (300, 450), (93, 140)),
        ((1200, 1600), (300, 400), (100, 133)),
        ((590, 750), (295, 375), (100, 127)),
        ((1000, 1500), (301, 452), (93, 140)),
        ((1600, 2560), (283, 452), (88, 140)),
        ((320, 452), (320, 452), (99, 140)),
        ((60, 90), (301, 452), (93, 140)),
        ((900, 300), (320, 107), (100, 33)),
        ((3, 3000), (1, 452), (1, 140)),
    ],
)
def test_pictures_are_as_large_as_the_servers(
    size: tuple[int, int], cover: tuple[int, int], thumbnail: tuple[int, int]
) -> None:
    """Or smaller by less than a tenth, where that saves resampling."""
    assert sizes(draw(encoded(scene(size)), RESIZE)) == (cover, thumbnail)


@pytest.mark.parametrize(
    ("size", "by"),
    [
        ((600, 900), 2),
        ((601, 901), 2),
        ((1200, 1600), 4),
        ((1000, 1500), 2),
        ((2400, 3600), 8),
        ((320, 452), 1),
        ((60, 90), 1),
    ],
)
def test_a_large_jpeg_is_decoded_reduced(size: tuple[int, int], by: int) -> None:
    """As far as the server's size allows."""
    assert divisor(size, BOX) == by


SIDES = st.integers(1, 10_000)


@given(st.tuples(SIDES, SIDES), st.tuples(SIDES, SIDES))
def test_what_fits_is_in_the_box_and_touches_it(
    size: tuple[int, int], box: tuple[int, int]
) -> None:
    """Both sides within, one of them equal."""
    made = fit(size, box)
    assert 1 <= made[0] <= box[0]
    assert 1 <= made[1] <= box[1]
    assert made[0] == box[0] or made[1] == box[1]


def test_a_plain_jpeg_is_kept_and_only_its_thumbnail_drawn() -> None:
    """When it is small enough; its metadata goes all the same."""
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    plain, told = encoded(scene((600, 900))), encoded(scene((600, 900)), exif=exif)
    assert draw(plain, KEEP).cover == plain
    assert draw(told, KEEP).cover == plain
    assert sizes(draw(plain, KEEP)) == ((600, 900), (93, 140))
    assert sizes(draw(plain, Drawing(keep_bytes=len(plain) - 1)))[0] == (300, 450)


@pytest.mark.parametrize("how", [RESIZE, KEEP])
@pytest.mark.parametrize(
    ("orientation", "size"), [(1, (300, 450)), (3, (300, 450)), (6, (320, 213))]
)
def test_a_picture_lying_on_its_side_is_put_upright(
    orientation: int, size: tuple[int, int], how: Drawing
) -> None:
    """Its pixels are turned, and nothing says that they were to be."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    made = draw(encoded(scene((600, 900)), exif=exif), how)
    assert sizes(made)[0] == ((600, 900) if how == KEEP and orientation == 1 else size)
    assert not opened(made.cover).getexif()
    darker = opened(made.cover).convert("L")
    top, bottom = (darker.getpixel((5, y)) for y in (5, darker.height - 6))
    left, right = (darker.getpixel((x, 5)) for x in (5, darker.width - 6))
    assert {1: top < bottom, 3: top > bottom, 6: left > right}[orientation]  # type: ignore[operator]


@pytest.mark.parametrize("how", [RESIZE, KEEP])
@pytest.mark.parametrize(
    ("data", "expected"),
    [
        pytest.param(
            encoded(Image.new("RGBA", (40, 60), (0, 0, 0, 0)), "PNG"), WHITE, id="clear"
        ),
        pytest.param(
            encoded(Image.new("LA", (40, 60), (0, 0)), "PNG"), WHITE, id="clear grey"
        ),
        pytest.param(
            encoded(Image.new("P", (40, 60), 0), "PNG", transparency=0),
            WHITE,
            id="clear palette",
        ),
        pytest.param(
            encoded(Image.new("RGB", (40, 60), RED).quantize(4), "GIF"), RED, id="GIF"
        ),
        pytest.param(encoded(Image.new("RGB", (40, 60), RED), "PNG"), RED, id="PNG"),
        pytest.param(
            encoded(Image.new("RGB", (40, 60), RED), "WEBP", lossless=True),
            RED,
            id="WebP",
        ),
        pytest.param(
            encoded(Image.new("RGB", (40, 60), RED).convert("CMYK")), RED, id="CMYK"
        ),
        pytest.param(
            encoded(Image.new("I;16", (40, 60), 65_535), "PNG"), WHITE, id="16 bits"
        ),
        pytest.param(
            encoded(Image.new("RGB", (40, 60), RED), progressive=True),
            RED,
            id="progressive",
        ),
    ],
)
def test_every_kind_of_picture_becomes_a_plain_jpeg(
    data: bytes, expected: tuple[int, ...], how: Drawing
) -> None:
    """Whatever its file is called; white behind what is transparent."""
    made = draw(data, how)
    for picture in (made.cover, made.thumbnail):
        assert opened(picture).mode in ("RGB", "L")
        assert all(
            abs(is_ - should) <= 8
            for is_, should in zip(middle(picture), expected, strict=True)
        )


def test_quality_and_colours_are_those_of_the_original() -> None:
    """As ImageMagick, which the server uses, keeps them."""
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    original = encoded(scene((900, 1300)), quality=71, icc_profile=profile)
    made = draw(original, RESIZE)
    asked, got = (
        Image.open(io.BytesIO(data)).quantization  # type: ignore[attr-defined]
        for data in (original, made.cover)
    )
    assert asked == got
    assert opened(made.cover).info["icc_profile"] == profile
    assert "icc_profile" not in opened(made.thumbnail).info


def test_a_grey_picture_stays_grey() -> None:
    """It is a third of the bytes."""
    assert opened(draw(encoded(scene((900, 1300), "L")), RESIZE).cover).mode == "L"


def bomb() -> bytes:
    """A PNG of few bytes that claims 10,000 million pixels."""
    header = struct.pack(">IIBBBBB", 100_000, 100_000, 8, 2, 0, 0, 0)

    def chunk(kind: bytes, data: bytes) -> bytes:
        checked = kind + data
        return (
            struct.pack(">I", len(data))
            + checked
            + struct.pack(">I", zlib.crc32(checked))
        )

    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", b"x")


@pytest.mark.parametrize("how", [RESIZE, KEEP])
@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "empty"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"plain text", "no picture"),
        (encoded(scene((600, 900)))[:-2000], "no picture"),
        (encoded(scene((600, 900)), "PNG")[:-200], "no picture"),
        (bomb(), "no picture"),
        (encoded(Image.new("1", (10_000, 10_000)), "PNG"), "more than 50 million"),
    ],
    ids=["empty", "SVG", "text", "torn JPEG", "torn PNG", "bomb", "huge"],
)
def test_what_cannot_be_drawn_is_refused(data: bytes, why: str, how: Drawing) -> None:
    """With the reason; a bomb before it is unpacked."""
    with pytest.raises(BadCover, match=why):
        draw(data, how)


DAMAGED = [
    encoded(
        scene((60, 90)), exif=b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01"
    ),
    encoded(scene((60, 90)), progressive=True),
    encoded(scene((60, 90), "RGBA"), "PNG"),
    encoded(scene((60, 90), "P"), "GIF"),
    encoded(scene((60, 90)), "WEBP"),
    encoded(scene((60, 90)), "BMP"),
    encoded(scene((60, 90)), "TIFF", compression="tiff_lzw"),
]


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(DAMAGED),
    st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=8),
    st.sampled_from([RESIZE, KEEP]),
)
def test_damage_ends_in_a_picture_or_a_refusal(
    data: bytes, changes: list[tuple[int, int]], how: Drawing
) -> None:
    """Never in another error."""
    damaged = bytearray(data)
    for position, value in changes:
        damaged[position % len(damaged)] = value
    try:
        made = draw(bytes(damaged), how)
    except BadCover as refused:
        assert str(refused)
    else:
        assert opened(made.thumbnail).size <= SMALL
