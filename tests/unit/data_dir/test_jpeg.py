"""What a JPEG tells of its maker is left out; the picture is not drawn anew."""

import io

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageCms

from migration.server.data_dir.jpeg import without_metadata

PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def jpeg(**options: object) -> bytes:
    """A picture with colours that differ from place to place."""
    picture = Image.radial_gradient("L").resize((40, 60)).convert("RGB")
    made = io.BytesIO()
    picture.save(made, "JPEG", **options)
    return made.getvalue()


def pixels(data: bytes) -> bytes:
    """As they are decoded."""
    return Image.open(io.BytesIO(data)).tobytes()


def test_place_camera_and_comment_are_left_out() -> None:
    """Colours, resolution and pixels stay."""
    exif = Image.Exif()
    exif[0x010F] = "a camera"
    exif.get_ifd(0x8825)[1] = "N"
    told = jpeg(
        exif=exif,
        comment=b"by me",
        xmp=b"<x:xmpmeta/>",
        icc_profile=PROFILE,
        dpi=(7, 7),
    )
    made = without_metadata(told)
    assert made is not None
    assert b"a camera" in told
    for gone in (b"a camera", b"Exif", b"by me", b"xmpmeta"):
        assert gone not in made
    assert pixels(made) == pixels(told)
    assert Image.open(io.BytesIO(made)).info["icc_profile"] == PROFILE
    assert Image.open(io.BytesIO(made)).info["dpi"] == (7, 7)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"quality": 100}])
def test_one_that_tells_nothing_stays_as_it_is(options: dict[str, object]) -> None:
    """To the byte."""
    plain = jpeg(**options)
    assert without_metadata(plain) == plain


@pytest.mark.parametrize(
    "odd",
    [
        b"",
        b"\xff\xd8",
        b"\xff\xd8\xff",
        b"\xff\xd8\xff\xd9",
        b"\xff\xd8\xff\xe1\xff\xff",
        b"\xff\xd8\xff\xe1\x00\x00\xff\xda",
        b"\x89PNG\r\n",
        b"\xff\xd8" + b"\xff" * 1000,
    ],
)
def test_what_is_not_in_order_is_not_cut(odd: bytes) -> None:
    """None: it is drawn anew, or refused."""
    assert without_metadata(odd) is None


@given(st.binary(max_size=200), st.integers(2, 600))
def test_whatever_stands_in_it_it_comes_to_an_end(rubbish: bytes, where: int) -> None:
    """And never grows."""
    data = jpeg()
    mixed = data[:where] + rubbish + data[where:]
    made = without_metadata(mixed)
    assert made is None or len(made) <= len(mixed)
