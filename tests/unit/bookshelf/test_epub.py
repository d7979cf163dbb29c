"""EPUBs are hostile until proved otherwise."""

import io
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from bookshelf.content import covers, epub
from bookshelf.content.epub import EpubContent
from tests.support.libraries.librarykit import epub as make_epub


def picture(size: tuple[int, int] = (600, 900)) -> bytes:
    """A PNG."""
    buffer = io.BytesIO()
    Image.new("RGB", size, (200, 80, 40)).save(buffer, "PNG")
    return buffer.getvalue()


def archive(path: Path, files: "dict[str, bytes | str] | None" = None) -> Path:
    """A zip file with these names and contents."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in (files or {}).items():
            made.writestr(name, content)
    return path


CONTAINER = (
    '<container version="1.0" '
    'xmlns="urn:oasis:names:tc:opendocument:xmlns:container"><rootfiles><rootfile '
    'full-path="c.opf"/></rootfiles></container>'
)


def opf(metadata: str = "", manifest: str = "") -> str:
    """A package document."""
    return (
        '<package xmlns="http://www.idpf.org/2007/opf"><metadata '
        'xmlns:dc="http://purl.org/dc/elements/1.1/">'
        f"{metadata}</metadata><manifest>{manifest}</manifest></package>"
    )


def test_a_whole_book(tmp_path: Path) -> None:
    """Title, authors, subjects, language, series, cover."""
    path = archive(
        tmp_path / "x.epub",
        {"META-INF/container.xml": CONTAINER, "img/c.png": picture()},
    )
    with zipfile.ZipFile(path, "a") as made:
        made.writestr(
            "c.opf",
            opf(
                "<dc:title>A &amp; B</dc:title><dc:creator>Doe, "
                "Jane</dc:creator><dc:creator>Ann Probe</dc:creator>"
                "<dc:subject>Sea</dc:subject><dc:subject>Sea</dc:subject><dc:language>pt-BR</dc:language>"
                '<meta name="calibre:series" content="S"/><meta '
                'name="calibre:series_index" content="2.5"/>',
                '<item id="x" href="img/c.png" properties="cover-image"/>',
            ),
        )
    assert epub.read(path) == EpubContent(
        {
            "title": "A & B",
            "authors": [
                {"last_name": "Doe", "first_name": "Jane"},
                {"last_name": "Probe", "first_name": "Ann"},
            ],
            "genres": [{"name": "Sea"}],
            "language": {"code": "pt"},
            "series": {"title": "S"},
            "series_index": 2,
        },
        picture(),
    )


def test_damaged_and_hostile_files_yield_nothing(tmp_path: Path) -> None:
    """Not a zip, no container, broken XML, entity bombs, external entities, zip bombs:
    no metadata, no error."""
    entities = '<!ENTITY a "aaaaaaaaaa"><!ENTITY b "&a;&a;&a;&a;&a;&a;">'
    bomb = f"<!DOCTYPE x [{entities}]><package><metadata>&b;</metadata></package>"
    outside = (
        '<!DOCTYPE x [<!ENTITY a SYSTEM "file:///etc/passwd">]><package>&a;</package>'
    )
    broken = tmp_path / "broken.epub"
    broken.write_bytes(b"PK\x03\x04 not a zip")
    cases = [
        broken,
        archive(tmp_path / "empty.epub"),
        archive(
            tmp_path / "bomb.epub", {"META-INF/container.xml": CONTAINER, "c.opf": bomb}
        ),
        archive(
            tmp_path / "outside.epub",
            {"META-INF/container.xml": CONTAINER, "c.opf": outside},
        ),
        archive(
            tmp_path / "xml.epub",
            {"META-INF/container.xml": CONTAINER, "c.opf": "<package>"},
        ),
        archive(
            tmp_path / "zip.epub",
            {"META-INF/container.xml": CONTAINER, "c.opf": b" " * 50_000_000},
        ),
        tmp_path / "missing.epub",
    ]
    assert [epub.read(path) for path in cases] == [EpubContent({}, None)] * len(cases)


@pytest.mark.parametrize(
    "href", ["../../../etc/passwd", "/etc/passwd", "nosuch.png", "%2e%2e/x", ""]
)
def test_a_cover_comes_from_the_archive_or_not_at_all(
    tmp_path: Path, href: str
) -> None:
    """No path leaves the file."""
    manifest = f'<item id="x" href="{href}" properties="cover-image"/>'
    path = archive(
        tmp_path / "x.epub",
        {"META-INF/container.xml": CONTAINER, "c.opf": opf("", manifest)},
    )
    assert epub.read(path).cover is None


def test_a_damaged_part_of_any_compression_yields_what_could_be_read(
    tmp_path: Path,
) -> None:
    """Nothing escapes but a book without metadata."""
    for method in (zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        path = tmp_path / f"{method}.epub"
        with zipfile.ZipFile(path, "w", method) as file:
            file.writestr("META-INF/container.xml", CONTAINER * 20)
        data = bytearray(path.read_bytes())
        data[60:80] = bytes(20)
        path.write_bytes(data)
        assert epub.read(path) == epub.EpubContent({}, None)


def test_covers_are_drawn_anew_and_small(tmp_path: Path) -> None:
    """JPEG, at most 320x452, without what the original carried."""
    cover, thumb = covers.make(picture()), covers.thumbnail(picture())
    with Image.open(io.BytesIO(cover)) as large, Image.open(io.BytesIO(thumb)) as small:
        assert (large.format, small.format) == ("JPEG", "JPEG")
        assert large.width <= 320
        assert large.height <= 452
        assert small.width <= 100
        assert small.height <= 140


@pytest.mark.parametrize(
    "data",
    [b"", b"<svg onload='x'/>", b"\x89PNG\r\n\x1a\n broken", picture((9000, 9000))],
)
def test_bad_pictures_are_refused(data: bytes) -> None:
    """Not a picture, a script, broken, or far too large."""
    with pytest.raises(covers.BadPicture):
        covers.make(data)
    with pytest.raises(covers.BadPicture):
        covers.check(data)


def test_a_picture_that_was_cut_off_is_found_out_without_drawing_it() -> None:
    """A whole one passes, in any format; half of it does not."""
    for kind in ("JPEG", "PNG", "WEBP"):
        buffer = io.BytesIO()
        Image.effect_noise((600, 900), 60).convert("RGB").save(buffer, kind)
        covers.check(buffer.getvalue())
        with pytest.raises(covers.BadPicture):
            covers.check(buffer.getvalue()[: len(buffer.getvalue()) // 2])


def test_the_maker_of_test_books_makes_books(tmp_path: Path) -> None:
    """The kit's EPUBs are read."""
    path = tmp_path / "x.epub"
    path.write_bytes(make_epub(1, title="T", author="Jane Doe", cover=picture()))
    found = epub.read(path)
    assert found.meta["title"] == "T"
    assert found.cover == picture()
