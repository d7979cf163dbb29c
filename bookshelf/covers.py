"""Covers: any picture becomes a JPEG of our own making, at most 320x452, and a thumbnail of 100x140."""

import io
import warnings

from PIL import Image, ImageOps, UnidentifiedImageError

COVER_SIZE, THUMB_SIZE = (320, 452), (100, 140)
#: Larger pictures are refused before they are unpacked.
MAX_PIXELS = 50_000_000
_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP")


class BadPicture(ValueError):
    """Not a picture, or one that is too large."""


def make(data: bytes) -> tuple[bytes, bytes]:
    """Cover and thumbnail as JPEG, without the metadata of the original. Raises BadPicture."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(io.BytesIO(data), formats=_FORMATS) as picture:
                if picture.width * picture.height > MAX_PIXELS:
                    raise BadPicture(f"{picture.width}x{picture.height} pixels")
                picture.draft("RGB", COVER_SIZE)
                plain = ImageOps.exif_transpose(picture).convert("RGB")
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise BadPicture(str(error)) from error
    plain.thumbnail(COVER_SIZE)
    cover = _jpeg(plain)
    plain.thumbnail(THUMB_SIZE)
    return cover, _jpeg(plain)


def _jpeg(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=85)
    return buffer.getvalue()
