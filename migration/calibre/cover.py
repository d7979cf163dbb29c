"""Calibre's cover as it is sent: a JPEG that any server can draw.

Calibre and its plugins store PNG, GIF or WebP under the name `cover.jpg`, and servers
draw transparency on black.
"""

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, BinaryIO

from migration.errors import BadCover

if TYPE_CHECKING:
    from PIL import Image

#: Pictures of more pixels are refused before they are decompressed: a small file can
#: hold gigabytes.
MAX_PIXELS = 50_000_000
#: Larger files are not covers; in bytes.
MAX_BYTES = 64 * 1024 * 1024
#: Calibre's own JPEG quality for covers.
QUALITY = 95
_FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF")
#: A JPEG in one of these modes is sent byte for byte.
PLAIN_MODES = frozenset({"RGB", "L"})


def sendable(cover: BinaryIO) -> io.BytesIO:
    """Returns the bytes to send: the cover itself if a plain JPEG, else made into one.

    Transparency is drawn on white, CMYK and palettes become RGB, and of an animation
    the first picture is used. Raises BadCover, with the reason, for what cannot be
    drawn.
    """
    held = read(cover)
    with warnings.catch_warnings():
        # Pillow warns about sizes that we limit ourselves, and about damage that it
        # works around.
        warnings.simplefilter("ignore")
        return io.BytesIO(_as_jpeg(held))


def read(cover: BinaryIO) -> bytes:
    """Returns the bytes of a cover's file. Raises BadCover when it is none by its size."""
    if cover.seek(0, io.SEEK_END) > MAX_BYTES:
        raise BadCover(f"its file has more than {MAX_BYTES // 1024**2} MB")
    cover.seek(0)
    return cover.read()


@contextmanager
def drawable(held: bytes) -> Iterator["Image.Image"]:
    """Opens a picture that is not too large to be drawn.

    Raises BadCover for what goes wrong while it is opened or used.
    """
    # Pillow is imported only where a cover is drawn, not at every start of a worker.
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(held), formats=_FORMATS) as picture:
            if picture.width * picture.height > MAX_PIXELS:
                size = f"{picture.width}x{picture.height}"
                raise BadCover(
                    f"it has {size} pixels, more than {MAX_PIXELS // 10**6} million"
                )
            yield picture
    except (
        UnidentifiedImageError,
        OSError,
        SyntaxError,
        ValueError,
        Image.DecompressionBombError,
    ) as error:
        raise BadCover(_reason(held, error)) from error


def is_plain_jpeg(held: bytes) -> bool:
    """Whether `sendable` would send these bytes as they are, if they can be drawn.

    Only the head is looked at: for whoever has them drawn anyway.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with drawable(held) as picture:
                return picture.format == "JPEG" and picture.mode in PLAIN_MODES
    except BadCover:
        return False


def _as_jpeg(held: bytes) -> bytes:
    from PIL import ImageOps

    with drawable(held) as picture:
        if picture.format == "JPEG" and picture.mode in PLAIN_MODES:
            # Decoded all the same: a torn file must not be sent as a cover.
            picture.load()
            return held
        made = io.BytesIO()
        on_white(ImageOps.exif_transpose(picture)).save(made, "JPEG", quality=QUALITY)
        return made.getvalue()


def on_white(picture: "Image.Image") -> "Image.Image":
    """Returns the picture in RGB, with its transparent parts white."""
    from PIL import Image

    if picture.mode.startswith("I"):
        # 16 bits per sample; Pillow would clip them at 255.
        picture = picture.convert("I").point(lambda value: value / 257).convert("L")
    if picture.has_transparency_data:
        layered = picture.convert("RGBA")
        white = Image.new("RGBA", layered.size, "white")
        picture = Image.alpha_composite(white, layered)
    return picture.convert("RGB")


def _reason(held: bytes, error: Exception) -> str:
    """Returns why the picture cannot be drawn."""
    head = held[:1024].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if not head:
        return "its file is empty"
    if head.startswith(b"<") and b"<svg" in head:
        return "it is an SVG drawing, and servers take pictures only"
    return f"it is no picture that can be drawn ({type(error).__name__})"
