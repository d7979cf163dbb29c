"""Whether an EPUB declares a cover, however it is written, and whatever else it is."""

import io
import zipfile

import pytest
from hypothesis import given
from hypothesis import strategies as st

from migration.server.data_dir.inside import declares_cover

CONTAINER = (
    "<container><rootfiles><rootfile media-type='x' full-path = 'OEBPS/b.opf'/>"
    "</rootfiles></container>"
)


def epub(
    package: str | None, container: str | None = CONTAINER, name: str = "OEBPS/b.opf"
) -> bytes:
    """An EPUB; None leaves a part of it out."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        if container is not None:
            archive.writestr("META-INF/container.xml", container)
        if package is not None:
            archive.writestr(name, package)
    return made.getvalue()


def vast() -> bytes:
    """A ZIP file that claims a directory of two gigabytes."""
    data = bytearray(epub("<package/>"))
    end = data.rfind(b"PK\x05\x06")
    data[end + 12 : end + 16] = (2**31).to_bytes(4, "little")
    return bytes(data)


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        (epub('<item id="c" properties="svg cover-image" href="c.jpg"/>'), True),
        (epub("<meta name='cover' content='c'/>"), True),
        (epub('<META content="c" NAME = "COVER"/>'), True),
        (epub('<item id="cover" href="cover.xhtml" properties="nav"/>'), False),
        (epub("<package/>"), False),
        (epub(None), False),
        (epub("<package/>", None), False),
        (epub("<package/>", "<container/>"), False),
        (b"not a ZIP file", False),
        (b"", False),
        (vast(), True),
        (epub("x" * 5_000_000 + "<meta name='cover'/>"), False),
    ],
    ids=[
        "EPUB 3",
        "EPUB 2",
        "spelled otherwise",
        "another item",
        "none",
        "no package",
        "no container",
        "empty container",
        "no ZIP",
        "empty",
        "vast directory",
        "far behind",
    ],
)
def test_a_cover_is_seen_where_it_is_declared(data: bytes, expected: bool) -> None:
    """What cannot be read in reasonable time counts as one."""
    assert declares_cover(io.BytesIO(data)) is expected


WHOLE = epub("<meta name='cover' content='c'/>")


@given(
    st.lists(
        st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(0, 255)), max_size=10
    )
)
def test_damage_is_no_error(changes: list[tuple[int, int]]) -> None:
    """Yes or no, whatever was changed."""
    damaged = bytearray(WHOLE)
    for position, value in changes:
        damaged[position] = value
    assert declares_cover(io.BytesIO(bytes(damaged))) in (True, False)
