"""Covers: any picture becomes a JPEG of at most 320x452, and a thumbnail of 100x140."""

import io
import warnings

from PIL import Image, ImageOps, UnidentifiedImageError

COVER_SIZE, THUMB_SIZE = (320, 452), (100, 140)
#: Larger pictures are refused before they are decompressed.
MAX_PIXELS = 50_000_000
_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP")


class BadPicture(ValueError):
    """Not a picture, or one that is too large."""


def check(data: bytes) -> None:
    """Raises BadPicture when this cannot be drawn.

    The whole picture is decoded, a JPEG at an eighth of its size.
    """
    _read(data, (1, 1))


def make(data: bytes, size: tuple[int, int] = COVER_SIZE) -> bytes:
    """Returns a JPEG of at most that size, without the original's metadata.

    Raises BadPicture.
    """
    picture = _read(data, size)
    picture.thumbnail(size)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()


def thumbnail(data: bytes) -> bytes:
    """Returns the small picture for lists. Raises BadPicture."""
    return make(data, THUMB_SIZE)


def _read(data: bytes, size: tuple[int, int]) -> Image.Image:
    """Decodes a picture upright, in RGB, not much larger than necessary.

    Raises BadPicture.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=_FORMATS) as picture:
                if picture.width * picture.height > MAX_PIXELS:
                    raise BadPicture(f"{picture.width}x{picture.height} pixels")
                picture.draft("RGB", size)
                return _on_white(ImageOps.exif_transpose(picture))
    except (
        UnidentifiedImageError,
        OSError,
        SyntaxError,
        ValueError,
        Image.DecompressionBombError,
    ) as error:
        raise BadPicture(str(error)) from error


def _on_white(picture: Image.Image) -> Image.Image:
    """Converts to RGB, with white behind transparent parts.

    Black would hide the letters of many covers.
    """
    if picture.has_transparency_data:
        layered = picture.convert("RGBA")
        picture = Image.alpha_composite(
            Image.new("RGBA", layered.size, "white"), layered
        )
    return picture.convert("RGB")
