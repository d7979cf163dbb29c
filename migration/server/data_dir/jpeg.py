"""A JPEG without what it tells of its maker: place, time, camera, comments. Pure."""

_START, _SCAN, _END = 0xD8, 0xDA, 0xD9
#: What a decoder may need: JFIF, a profile of colours, Adobe's kind of colours.
_KEPT = {0xE0: b"", 0xE2: b"ICC_PROFILE\0", 0xEE: b"Adobe"}
_COMMENT = 0xFE
_APPLICATION = range(0xE0, 0xF0)
#: Markers without a length.
_BARE = frozenset({0x01, *range(0xD0, 0xD8)})


def without_metadata(held: bytes) -> bytes | None:
    """Returns the same picture without EXIF, XMP, IPTC and comments, not drawn anew.

    Returns None when its segments are not in order.
    """
    kept = [held[:2]]
    position = 2
    if held[:2] != bytes((0xFF, _START)):
        return None
    while held[position : position + 1] == b"\xff":
        marker = held[position + 1] if position + 1 < len(held) else _END
        if marker == _SCAN:
            # What follows is the picture itself.
            return held if len(kept) == 1 else b"".join([*kept, held[position:]])
        if marker == 0xFF:  # padding
            position += 1
            continue
        if marker in _BARE:
            position += 2
            continue
        end = position + 2 + int.from_bytes(held[position + 2 : position + 4], "big")
        if marker == _END or end < position + 4 or end > len(held):
            return None
        if _is_needed(marker, held[position + 4 : position + 20]):
            kept.append(held[position:end])
        position = end
    return None


def _is_needed(marker: int, content: bytes) -> bool:
    if marker in _APPLICATION:
        return marker in _KEPT and content.startswith(_KEPT[marker])
    return marker != _COMMENT
