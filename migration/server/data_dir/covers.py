"""Calibre's cover as the server would make it: cover.jpg and a thumbnail.

The server draws covers with ImageMagick within COVER_SIZE, in the quality they had, and
a thumbnail of that. Here a large JPEG is decoded at a half, a quarter or an eighth of
its size, which costs a third of decoding and reducing it, and both pictures are made
from that. Functions on bytes, for several threads: Pillow lets others run meanwhile.
"""

import io
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from migration.calibre.cover import PLAIN_MODES, drawable, on_white
from migration.server.data_dir.jpeg import without_metadata

if TYPE_CHECKING:
    from PIL import Image

Size = tuple[int, int]

#: How JPEG decoders can reduce a picture on the way, best first.
_DIVISORS = (8, 4, 2)
#: A picture that needs no further reducing may be this much smaller than the server's.
_NEARLY = 0.9
#: ImageMagick's quality for what was no JPEG.
_QUALITY = 92
_ORIENTATION = 0x0112
#: Values of that tag that mean a picture lying on its side.
_SIDEWAYS = (5, 6, 7, 8)
#: Profiles of colours that are longer are not worth their bytes in every cover.
_PROFILE_BYTES = 16 * 1024


@dataclass(frozen=True, slots=True)
class Drawing:
    """How covers are drawn: the server's sizes, in pixels.

    A plain JPEG of at most `keep_bytes` stays as it is, but for its metadata; 0 draws
    all anew.
    """

    cover: Size = (320, 452)
    thumbnail: Size = (100, 140)
    keep_bytes: int = 0


#: `--covers keep`: the server shows larger pictures as well.
KEEP_BYTES = 512 * 1024


@dataclass(frozen=True, slots=True)
class Pictures:
    """A book's two pictures, as JPEG files."""

    cover: bytes
    thumbnail: bytes


def silence() -> None:
    """Lets Pillow not warn in this process: sizes are limited here, damage is refused."""
    warnings.filterwarnings("ignore", module=r"PIL\.")


def draw(held: bytes, how: Drawing) -> Pictures:
    """Draws both pictures. Raises BadCover, with the reason, for what is no picture."""
    with drawable(held) as picture:
        plain = picture.mode in PLAIN_MODES and picture.format in ("JPEG", "MPO")
        turned = picture.getexif().get(_ORIENTATION, 1)
        options = _options(picture) if plain else {"quality": _QUALITY}
        kept = (
            without_metadata(held)
            if plain and turned == 1 and len(held) <= how.keep_bytes
            else None
        )
        box = how.thumbnail if kept is not None else how.cover
        drawn = _decoded(picture, box[::-1] if turned in _SIDEWAYS else box)
    drawn = _fitted(drawn, box)
    thumbnail = _fitted(drawn, how.thumbnail)
    profile = options.pop("icc_profile", b"")
    return Pictures(
        _encoded(drawn, icc_profile=profile, **options) if kept is None else kept,
        _encoded(thumbnail, **options),
    )


def fit(size: Size, box: Size) -> Size:
    """Returns the largest size of these proportions within the box."""
    scale = min(box[0] / size[0], box[1] / size[1])
    width, height = (max(1, int(side * scale + 0.5)) for side in size)
    return width, height


def divisor(size: Size, box: Size) -> int:
    """Returns by how much a JPEG may be reduced while it is decoded.

    What comes out is about as large as the server would make it, or larger.
    """
    wanted = fit(size, box)
    for tried in _DIVISORS:
        if min(size) >= tried and all(
            -(-side // tried) >= _NEARLY * want
            for side, want in zip(size, wanted, strict=True)
        ):
            return tried
    return 1


def _decoded(picture: "Image.Image", box: Size) -> "Image.Image":
    """Returns the picture upright, plain, and not much larger than the box."""
    from PIL import ImageOps

    by = divisor(picture.size, box)
    if by > 1:
        # Asked for the box itself, Pillow would decode more than is needed.
        picture.draft(None, (picture.width // by, picture.height // by))
    picture.load()
    upright = picture if _is_upright(picture) else ImageOps.exif_transpose(picture)
    return upright if upright.mode in PLAIN_MODES else on_white(upright)


def _is_upright(picture: "Image.Image") -> bool:
    return bool(picture.getexif().get(_ORIENTATION, 1) == 1)


def _fitted(picture: "Image.Image", box: Size) -> "Image.Image":
    """Returns the picture as large as fits into the box, or nearly."""
    from PIL import Image

    wanted = fit(picture.size, box)
    if all(
        _NEARLY * want <= side <= want
        for side, want in zip(picture.size, wanted, strict=True)
    ):
        return picture
    # First by a whole step where that leaves enough: half the cost, and it does not show.
    return picture.resize(wanted, Image.Resampling.BICUBIC, reducing_gap=1.5)


def _options(picture: Any) -> dict[str, Any]:
    """Returns how to encode a JPEG as it was encoded, like ImageMagick.

    `icc_profile` is left out when there is none.
    """
    profile = picture.info.get("icc_profile") or b""
    tables = picture.quantization
    fine = all(0 < step <= 255 for table in tables.values() for step in table)
    made: dict[str, Any] = (
        {"qtables": tables} if tables and fine else {"quality": _QUALITY}
    )
    if 0 < len(profile) <= _PROFILE_BYTES:
        made["icc_profile"] = profile
    return made


def _encoded(picture: "Image.Image", **options: Any) -> bytes:
    made = io.BytesIO()
    picture.save(made, "JPEG", **options)
    return made.getvalue()
