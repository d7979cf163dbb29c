"""Files and pictures of a batch are placed in the server's data directory."""

import errno
import hashlib
import os
import zipfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import pytest
from PIL import Image

from migration.calibre.paths import Tree
from migration.errors import DataDirUnwritable, TooManyOpenFiles
from migration.model import BookId, Digest, EbookId, SourceId
from migration.server.data_dir import placer as placing
from migration.server.data_dir import syncing
from migration.server.data_dir.copying import copy
from migration.server.data_dir.covers import KEEP_BYTES, Drawing
from migration.server.direct.batch import Drawn, Placed, Refused
from tests.support.libraries.placekit import (
    Site,
    chosen,
    ignored,
    jpeg,
    left_of,
    mounted,
    nobody,
    remount,
)


@pytest.fixture
def site(tmp_path: Path) -> Site:
    """A library and the server's directories."""
    return Site(tmp_path)


def digest(data: bytes) -> Digest:
    """Of these bytes."""
    return Digest(hashlib.sha1(data, usedforsecurity=False).hexdigest(), len(data))


def test_a_batch_is_where_the_server_would_have_it(site: Site) -> None:
    """Bytes, digests, covers, thumbnails; in the books' order."""
    cover = jpeg()
    books = [
        site.book(1, formats={"EPUB": b"one", "PDF": b"uno"}, cover=cover),
        site.book(2, title="Война", author="Толстой"),
    ]
    with site.opened() as directory:
        drawn = chosen(directory, books)
        assert [one.source_ids for one in drawn] == [(1001, 1002), (1003,)]
        moved: list[int] = []
        first, second = directory.place(drawn, moved.append)
        assert sorted(moved) == [3, 3, 6]
        directory.sync()
        assert isinstance(first, Placed)
        assert isinstance(second, Placed)
        assert first.cover == "Doe/Title(en)/cover.jpg"
        assert directory.cover_sha1(first.cover) == first.cover_sha1
    below = site.below()
    assert {name: data for name, data in below.items() if not name.endswith("jpg")} == {
        "books/Doe/Title(en)/Doe - Title.epub": b"one",
        "books/Doe/Title(en)/Doe - Title.pdf": b"uno",
        "books/Tolstoy/Voyna(en)/Tolstoy - Voyna.epub": b"book 2",
    }
    assert first.digests == (digest(b"one"), digest(b"uno"))
    assert (second.cover, second.cover_sha1, second.calibre_sha1) == (None, "", "")
    assert first.calibre_sha1 == digest(cover).sha1
    assert first.cover_sha1 == digest(below["books/Doe/Title(en)/cover.jpg"]).sha1
    sizes = {
        name: Image.open(BytesIO(data)).size
        for name, data in below.items()
        if name.endswith("jpg")
    }
    assert sizes == {
        "books/Doe/Title(en)/cover.jpg": (300, 450),
        "thumbs/1001.jpg": (93, 140),
    }


def test_a_cover_may_stay_as_it_is(site: Site) -> None:
    """And nothing but a thumbnail is drawn."""
    cover = jpeg()
    with site.opened(drawing=Drawing(keep_bytes=KEEP_BYTES)) as directory:
        directory.place(chosen(directory, [site.book(1, cover=cover)]), ignored)
    assert site.below()["books/Doe/Title(en)/cover.jpg"] == cover


def test_books_of_one_name_have_folders_of_their_own(site: Site) -> None:
    """Also beside those that are there, and those that only a row names."""
    (site.places.books / "Doe" / "Title(en)").mkdir(parents=True)
    books = [site.book(number) for number in range(1, 13)]
    with site.opened() as directory:
        drawn = directory.choose(
            books,
            [EbookId(int(book.id)) for book in books],
            [SourceId(int(book.id)) for book in books],
            lambda folders: frozenset(folders) & {"Doe/Title(en)(2)"},
        )
        assert all(isinstance(one, Drawn) for one in drawn)
        folders = {one.base_dir for one in drawn if isinstance(one, Drawn)}
        placed = directory.place(
            [one for one in drawn if isinstance(one, Drawn)], ignored
        )
    assert len(folders) == 12
    assert not folders & {"Doe/Title(en)", "Doe/Title(en)(2)"}
    assert all(isinstance(one, Placed) for one in placed)
    assert sorted(site.below().values()) == sorted(b"book %d" % n for n in range(1, 13))


def test_two_processes_never_get_one_folder(site: Site) -> None:
    """A folder is the one's who made it: what the other's ledger names is its own."""
    with site.opened() as one, site.opened() as other:
        own = chosen(one, [site.book(1)])
        others = chosen(other, [site.book(2)])
        one.place(own, ignored)
        other.remove([left_of(drawn) for drawn in others])
    assert site.below() == {"books/Doe/Title(en)/Doe - Title.epub": b"book 1"}
    assert site.folders() == ["Doe", "Doe/Title(en)"]


def test_where_the_database_does_not_answer_no_folder_is_left(site: Site) -> None:
    """The batch is drawn again later."""

    def fails(folders: object) -> frozenset[str]:
        raise DataDirUnwritable("away")

    with site.opened() as directory, pytest.raises(DataDirUnwritable):
        directory.choose([site.book(1)], [EbookId(1)], [SourceId(1)], fails)
    assert site.folders() == []


def test_what_a_killed_process_left_is_removed(site: Site) -> None:
    """At whatever moment: all, a part, nothing of it."""
    books = [
        site.book(n, cover=jpeg(), formats={"EPUB": b"a", "PDF": b"b"})
        for n in (1, 2, 3)
    ]
    with site.opened() as directory:
        drawn = chosen(directory, books)
        directory.place(drawn, ignored)
        (site.places.books / drawn[1].locations[0]).unlink()
        (site.places.thumbnails / "1002.jpg").unlink()
        left = [left_of(one) for one in drawn]
        directory.remove(left[:2])
        directory.remove(left[:2])
        assert len(site.below()) == 4
        directory.remove(left)
    assert site.below() == {}
    assert site.folders() == ["Doe"]


def test_nothing_else_is_removed(site: Site) -> None:
    """What a person put there meanwhile, and its folder, stays."""
    with site.opened() as directory:
        [drawn] = chosen(directory, [site.book(1)])
        directory.place([drawn], ignored)
        kept = site.places.books / drawn.base_dir / "Doe - Title(1).epub"
        kept.write_bytes(b"a person's")
        directory.remove([left_of(drawn)])
    assert list(site.below().values()) == [b"a person's"]


def test_the_cover_of_a_book_that_came_into_the_folder_stays(site: Site) -> None:
    """The server puts it in the place of ours, and names it in a row."""
    with site.opened() as directory:
        [drawn] = chosen(directory, [site.book(1, cover=jpeg())])
        directory.place([drawn], ignored)
        folder = site.places.books / drawn.base_dir
        (folder / "Doe - Title(1).epub").write_bytes(b"a person's")
        (folder / "cover.jpg").write_bytes(b"its cover")
        directory.remove([left_of(drawn)])
    assert sorted(site.below().values()) == [b"a person's", b"its cover"]


@pytest.mark.parametrize(
    ("base_dir", "location"),
    [
        ("..", "../precious"),
        ("Doe/../..", "Doe/../../precious"),
        ("/{root}", "/{root}/precious"),
        ("Doe/Title(en)", "Doe/Title(en)/../../../precious"),
        ("Doe/Title(en)", "Doe/other/precious"),
        ("Doe/Title(en)", "precious"),
        ("", "precious"),
    ],
)
def test_a_journal_that_leads_elsewhere_removes_nothing(
    site: Site, base_dir: str, location: str
) -> None:
    """Whatever it says."""
    for place in (site.data, site.places.books, site.places.books / "Doe" / "other"):
        place.mkdir(parents=True, exist_ok=True)
        (place / "precious").write_bytes(b"kept")
    root = str(site.data)[1:]
    before = site.below()
    with site.opened() as directory:
        [drawn] = chosen(directory, [site.book(1)])
        left = left_of(drawn)
        lying = type(left)(
            left.book,
            left.ebook_id,
            ((left.files[0][0], left.files[0][1], location.format(root=root)),),
            base_dir.format(root=root),
        )
        directory.remove([lying])
    assert site.below() == before


def test_no_link_is_followed(site: Site) -> None:
    """Neither to place something nor to remove it; the rest of the batch goes on."""
    outside = site.root / "outside"
    (outside / "Title(en)").mkdir(parents=True)
    (outside / "Title(en)" / "Doe - Title.epub").write_bytes(b"precious")
    (site.places.books / "Doe").symlink_to(outside)
    with site.opened() as directory:
        books = [site.book(1), site.book(2, author="Roe")]
        found = directory.choose(
            books, [EbookId(1), EbookId(2)], [SourceId(1), SourceId(2)], nobody
        )
        refused, drawn = found
        assert isinstance(refused, Refused)
        assert isinstance(drawn, Drawn)
        assert "symbolic link" in refused.why
        left = left_of(drawn)
        directory.remove(
            [
                type(left)(
                    BookId(1),
                    EbookId(1),
                    (
                        (
                            left.files[0][0],
                            SourceId(1),
                            "Doe/Title(en)/Doe - Title.epub",
                        ),
                    ),
                    "Doe/Title(en)",
                )
            ]
        )
        assert directory.cover_sha1("Doe/Title(en)/Doe - Title.epub") == ""
    assert (outside / "Title(en)" / "Doe - Title.epub").read_bytes() == b"precious"


def test_a_thumbnail_of_an_ebook_that_is_no_more_is_replaced(site: Site) -> None:
    """Its id is newly drawn, so that it is nobody's; a link there is not followed."""
    precious = site.root / "precious"
    precious.write_bytes(b"kept")
    (site.places.thumbnails / "1001.jpg").write_bytes(b"old")
    (site.places.thumbnails / "1002.jpg").symlink_to(precious)
    with site.opened() as directory:
        books = [site.book(1, cover=jpeg()), site.book(2, cover=jpeg())]
        placed = directory.place(chosen(directory, books), ignored)
    assert all(isinstance(one, Placed) for one in placed)
    below = site.below()
    for name in ("thumbs/1001.jpg", "thumbs/1002.jpg"):
        assert Image.open(BytesIO(below[name])).size == (93, 140)
    assert precious.read_bytes() == b"kept"


def epub(package: str) -> bytes:
    """An EPUB with this package document."""
    made = BytesIO()
    with zipfile.ZipFile(made, "w") as archive:
        archive.writestr(
            "META-INF/container.xml", '<rootfile full-path="a/b.opf" media-type="x"/>'
        )
        archive.writestr("a/b.opf", package)
    return made.getvalue()


def _missing(site: Site) -> None:
    (site.library / "1/1.epub").unlink()


def _rewritten(site: Site) -> None:
    (site.library / "1/1.epub").write_bytes(b"longer than before")


def _touched(site: Site) -> None:
    os.utime(site.library / "1/1.epub", (1, 1))


def _linked(site: Site) -> None:
    path = site.library / "1/1.epub"
    path.rename(path.with_name("other"))
    path.symlink_to("other")


def _without_cover(site: Site) -> None:
    (site.library / "1/cover.jpg").unlink()


def _torn_cover(site: Site) -> None:
    (site.library / "1/cover.jpg").write_bytes(jpeg()[:1000])


def _gone(site: Site) -> None:
    (site.places.books / "Doe/Title(en)").rmdir()


@pytest.mark.parametrize(
    ("happens", "why"),
    [
        (_missing, "is not in the library"),
        (_rewritten, "rewritten after it was listed"),
        (_touched, "rewritten after it was listed"),
        (_linked, "symbolic link"),
        (_without_cover, "is not in the library"),
        (_torn_cover, "cover cannot be drawn: it is no picture"),
        (_gone, "its place on the server cannot be used"),
    ],
)
def test_a_book_that_cannot_be_placed_is_refused_and_leaves_nothing(
    site: Site, happens: Callable[[Site], None], why: str
) -> None:
    """The other books of the batch are placed."""
    books = [
        site.book(1, cover=jpeg(), formats={"PDF": b"b", "EPUB": b"a"}),
        site.book(2, author="Roe"),
    ]
    with site.opened() as directory:
        drawn = chosen(directory, books)
        happens(site)
        refused, placed = directory.place(drawn, ignored)
    assert isinstance(refused, Refused)
    assert why in refused.why
    assert isinstance(placed, Placed)
    assert list(site.below()) == ["books/Roe/Title(en)/Roe - Title.epub"]
    assert "Doe/Title(en)" not in site.folders()


@pytest.mark.parametrize(
    ("package", "goes"),
    [
        ('<item properties="cover-image" href="c.jpg"/>', "its cover is only inside"),
        ("<meta content='c' name='cover'/>", "its cover is only inside its file"),
        ("<package/>", ""),
    ],
)
def test_a_book_whose_cover_is_only_in_its_file_goes_by_the_api(
    site: Site, package: str, goes: str
) -> None:
    """The server finds it there. Where Calibre has a cover, nothing is looked for."""
    books = [
        site.book(1, formats={"EPUB": epub(package)}),
        site.book(2, formats={"EPUB": epub(package)}, cover=jpeg(), author="Roe"),
    ]
    with site.opened() as directory:
        without, having = directory.place(chosen(directory, books), ignored)
    assert isinstance(having, Placed)
    assert goes in (without.why if isinstance(without, Refused) else "")
    assert isinstance(without, Refused) is (goes != "")


@pytest.mark.parametrize(
    ("number", "error", "said"),
    [
        (errno.ENOSPC, DataDirUnwritable, "No space left on device; free some space"),
        (errno.EROFS, DataDirUnwritable, "Read-only file system; look at its disk"),
        (errno.EIO, DataDirUnwritable, "Input/output error; look at its disk"),
        (errno.EMFILE, TooManyOpenFiles, "too many open files"),
    ],
)
def test_where_the_directory_takes_nothing_nothing_half_is_left(
    site: Site,
    monkeypatch: pytest.MonkeyPatch,
    number: int,
    error: type[Exception],
    said: str,
) -> None:
    """The whole batch is tried again later; the sentence says what to do."""
    copied: list[int] = []

    def full(
        source: BinaryIO,
        target: int,
        *,
        size: int,
        mtime_ns: int,
        moved: Callable[[int], None],
    ) -> Digest:
        copied.append(target)
        if len(copied) == 3:
            os.write(target, b"half")
            raise OSError(number, os.strerror(number))
        return copy(source, target, size=size, mtime_ns=mtime_ns, moved=moved)

    monkeypatch.setattr(placing, "copy", full)
    books = [
        site.book(n, author=f"Author {n}", cover=jpeg((60, 90))) for n in range(1, 7)
    ]
    with site.opened() as directory:
        drawn = chosen(directory, books)
        with pytest.raises(error, match=said):
            directory.place(drawn, ignored)
    assert site.below() == {}


def test_a_full_disk_leaves_nothing_and_takes_all_when_it_has_space(site: Site) -> None:
    """A small tmpfs: the batch is placed when there is room for it."""
    with mounted(site.data, "tmpfs", "size=1m"):
        site.make_places()
        size = 300_000
        books = [
            site.book(n, author=f"Author {n}", formats={"EPUB": os.urandom(size)})
            for n in range(1, 7)
        ]
        with site.opened() as directory:
            with pytest.raises(DataDirUnwritable, match="No space left"):
                directory.place(chosen(directory, books), ignored)
            assert site.below() == {}
            remount(site.data, "size=10m")
            placed = directory.place(chosen(directory, books), ignored)
        assert all(isinstance(one, Placed) for one in placed)
        assert [len(data) for data in site.below().values()] == [size] * 6


def test_without_a_call_for_it_each_file_is_synced(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Files, pictures, and every folder up to the directory's own."""
    synced: list[str] = []
    fsync = os.fsync

    def noting(descriptor: int) -> None:
        synced.append(os.path.relpath(f"/proc/self/fd/{descriptor}", "/proc/self/fd"))
        fsync(descriptor)

    monkeypatch.setattr(syncing, "_syncfs", lambda: None)
    monkeypatch.setattr(os, "fsync", noting)
    with site.opened() as directory:
        directory.place(chosen(directory, [site.book(1, cover=jpeg())]), ignored)
        directory.sync()
        assert len(synced) == 7
        directory.sync()
    assert len(synced) == 8


def test_a_file_system_that_cannot_sync_is_said(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before any row is written."""

    def fails(_descriptor: int) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(syncing, "_syncfs", lambda: fails)
    with site.opened() as directory:
        directory.place(chosen(directory, [site.book(1)]), ignored)
        with pytest.raises(DataDirUnwritable, match="Input/output error"):
            directory.sync()


@pytest.mark.parametrize(
    ("mode", "mask"), [(0o755, 0o077), (0o2775, 0o022), (0o700, 0)]
)
def test_what_is_placed_has_the_mode_of_the_directory(
    site: Site, mode: int, mask: int
) -> None:
    """Whatever this process's umask is; a shared group stays."""
    for place in (site.places.books, site.places.thumbnails):
        place.chmod(mode)
    before = os.umask(mask)
    try:
        with site.opened() as directory:
            directory.place(chosen(directory, [site.book(1, cover=jpeg())]), ignored)
    finally:
        os.umask(before)
    made = [path for path in site.data.rglob("*") if path.is_file()]
    assert {path.stat().st_mode & 0o7777 for path in made} == {mode & 0o666}
    assert {
        path.stat().st_mode & 0o7777 for path in (site.places.books / "Doe").rglob("")
    } == {mode}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_root_gives_everything_to_the_servers_user(site: Site) -> None:
    """Also the author's folder."""
    for place in (site.places.books, site.places.thumbnails, site.places.uploads):
        os.chown(place, 12_345, 23_456)
    with site.opened() as directory:
        directory.place(chosen(directory, [site.book(1, cover=jpeg())]), ignored)
    owners = {(path.stat().st_uid, path.stat().st_gid) for path in site.data.rglob("*")}
    assert owners == {(12_345, 23_456)}


def test_the_library_is_only_read(site: Site) -> None:
    """Its files, their times and their folder."""
    book = site.book(1, cover=jpeg())
    before = {path: path.stat().st_mtime_ns for path in site.library.rglob("*")}
    with site.opened() as directory:
        directory.place(chosen(directory, [book]), ignored)
    after = {path: path.stat().st_mtime_ns for path in site.library.rglob("*")}
    assert after == before
    assert Tree(site.library).examine(b"1/1.epub").size == len(b"book 1")
