"""Calibre's cover as it is sent: a JPEG that any server can draw, whatever `cover.jpg`
holds.

Calibre and its plugins put PNG, GIF or WebP bytes under that name. Servers draw
transparency on black."""

import io
import warnings
from typing import TYPE_CHECKING, BinaryIO

from migration.errors import BadCover

if TYPE_CHECKING:
    from PIL import Image

#: Pictures of more pixels are refused before they are unpacked: a small file can hold
#: gigabytes.
MAX_PIXELS = 50_000_000
#: Files of more bytes are no covers.
MAX_BYTES = 64 * 1024 * 1024
#: Calibre's own quality for covers.
QUALITY = 95
_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF")
#: A picture that is one of these as it stands is sent byte for byte.
_PLAIN_MODES = frozenset({"RGB", "L"})


def sendable(cover: BinaryIO) -> io.BytesIO:
    """The cover's bytes as they are sent: its own when it is a plain JPEG, else a JPEG
    made of it.

    Transparency is drawn on white, CMYK and palettes become RGB, of an animation the
    first picture counts. Raises BadCover, with the reason, for what cannot be drawn.
    """
    # Pillow is imported where a cover is drawn, and not at every start of a worker.
    from PIL import Image, UnidentifiedImageError

    if cover.seek(0, io.SEEK_END) > MAX_BYTES:
        raise BadCover(f"its file has more than {MAX_BYTES // 1024**2} MB")
    cover.seek(0)
    held = cover.read()
    try:
        with warnings.catch_warnings():
            # Pillow warns above our own limit, and damage that it works around needs no
            # word.
            warnings.simplefilter("ignore")
            return io.BytesIO(_as_jpeg(held))
    except (
        UnidentifiedImageError,
        OSError,
        SyntaxError,
        ValueError,
        Image.DecompressionBombError,
    ) as error:
        raise BadCover(_reason(held, error)) from error


def _as_jpeg(held: bytes) -> bytes:
    from PIL import Image, ImageOps

    with Image.open(io.BytesIO(held), formats=_FORMATS) as picture:
        if picture.width * picture.height > MAX_PIXELS:
            size = f"{picture.width}x{picture.height}"
            raise BadCover(
                f"it has {size} pixels, more than {MAX_PIXELS // 10**6} million"
            )
        if picture.format == "JPEG" and picture.mode in _PLAIN_MODES:
            # Unpacked all the same: a torn file must not arrive as somebody's cover.
            picture.load()
            return held
        made = io.BytesIO()
        _on_white(ImageOps.exif_transpose(picture)).save(made, "JPEG", quality=QUALITY)
        return made.getvalue()


def _on_white(picture: "Image.Image") -> "Image.Image":
    """The picture in RGB, its transparent parts white."""
    from PIL import Image

    if picture.mode.startswith("I"):
        # 16 bits a sample; Pillow would cut them off at 255.
        picture = picture.convert("I").point(lambda value: value / 257).convert("L")
    if picture.has_transparency_data:
        layered = picture.convert("RGBA")
        white = Image.new("RGBA", layered.size, "white")
        picture = Image.alpha_composite(white, layered)
    return picture.convert("RGB")


def _reason(held: bytes, error: Exception) -> str:
    """Why it cannot be drawn, in words."""
    head = held[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not head:
        return "its file is empty"
    if head.startswith(b"<") and b"<svg" in head:
        return "it is an SVG drawing, and servers take pictures only"
    return f"it is no picture that can be drawn ({type(error).__name__})"
