"""EPUB metadata and cover, read in-process with limits: the file may be hostile."""

import posixpath
import zipfile
from dataclasses import dataclass
from lzma import LZMAError
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote
from xml.etree.ElementTree import Element, ParseError
from zlib import error as ZlibError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

#: The most bytes read of one XML file, and of a cover.
XML_BYTES, COVER_BYTES = 4_000_000, 20_000_000
#: The most files in an archive, and the most a file may grow when decompressed.
ENTRIES, RATIO = 50_000, 200

_CONTAINER = "{urn:oasis:names:tc:opendocument:xmlns:container}"
_OPF = "{http://www.idpf.org/2007/opf}"
_DC = "{http://purl.org/dc/elements/1.1/}"


@dataclass(frozen=True, slots=True)
class EpubContent:
    """What an EPUB says about itself.

    `meta` has the keys of the `metadata` task; a key is absent when not found.
    """

    meta: dict[str, Any]
    cover: bytes | None


def read(file: Path | BinaryIO) -> EpubContent:
    """Reads an EPUB.

    From a damaged or hostile one, what could be read safely, or nothing.
    """
    try:
        with zipfile.ZipFile(file) as archive:
            if len(archive.infolist()) > ENTRIES:
                return EpubContent({}, None)
            opf_path, package = _package(archive)
            return EpubContent(_metadata(package), _cover(archive, opf_path, package))
    except _UNREADABLE:
        return EpubContent({}, None)


class _Unsafe(Exception):
    """A part of the file is missing, broken or over a limit."""


_UNREADABLE = (
    _Unsafe,
    OSError,
    EOFError,
    zipfile.BadZipFile,
    ZlibError,
    LZMAError,
    NotImplementedError,
    RuntimeError,
    ValueError,
)


def _package(archive: zipfile.ZipFile) -> tuple[str, Element]:
    container = _xml(archive, "META-INF/container.xml")
    rootfile = container.find(f".//{_CONTAINER}rootfile")
    path = rootfile.get("full-path") if rootfile is not None else None
    if not path:
        raise _Unsafe
    return path, _xml(archive, path)


def _xml(archive: zipfile.ZipFile, name: str) -> Element:
    try:
        element = fromstring(_bytes(archive, name, XML_BYTES), forbid_dtd=False)
    except (ParseError, DefusedXmlException, UnicodeError, LookupError) as error:
        raise _Unsafe from error
    if not isinstance(element, Element):
        raise _Unsafe
    return element


def _bytes(archive: zipfile.ZipFile, name: str, limit: int) -> bytes:
    """Returns one file's bytes from the archive, distrusting its sizes."""
    try:
        info = archive.getinfo(name)
    except KeyError as error:
        raise _Unsafe from error
    allowed = min(limit, max(100_000, info.compress_size * RATIO))
    if info.file_size > allowed:
        raise _Unsafe
    with archive.open(info) as file:
        data = file.read(allowed + 1)
    if len(data) > allowed:
        raise _Unsafe
    return data


def _metadata(package: Element) -> dict[str, Any]:
    meta: dict[str, Any] = {}
    if title := _first(package, "title"):
        meta["title"] = title
    if creators := _all(package, "creator"):
        meta["authors"] = [
            person(name)
            for text in creators
            for name in text.split("&")
            if name.strip()
        ]
    if subjects := _all(package, "subject"):
        meta["genres"] = [{"name": name} for name in dict.fromkeys(subjects)]
    language = _first(package, "language").split("-")[0].lower()
    if language and language != "und":
        meta["language"] = {"code": language}
    named = {
        element.get("name"): element.get("content") or ""
        for element in package.iter(f"{_OPF}meta")
    }
    if series := named.get("calibre:series", "").strip():
        meta["series"] = {"title": series}
        meta["series_index"] = _whole(named.get("calibre:series_index", ""))
    return meta


def person(name: str) -> dict[str, str]:
    """Splits `Doe, Jane` or `Jane Doe`: the last word is the last name."""
    clean = " ".join(name.split())
    if "," in clean:
        last, _, first = clean.partition(",")
        first = " ".join(part.strip() for part in first.split(",") if part.strip())
    else:
        first, _, last = clean.rpartition(" ")
    return (
        {"last_name": last.strip(), "first_name": first.strip()}
        if first.strip()
        else {"last_name": last.strip()}
    )


def _all(package: Element, name: str) -> list[str]:
    texts = (
        " ".join("".join(element.itertext()).split())
        for element in package.iter(f"{_DC}{name}")
    )
    return [text for text in texts if text]


def _first(package: Element, name: str) -> str:
    return next(iter(_all(package, name)), "")


def _whole(text: str) -> int:
    try:
        return int(float(text))
    except (ValueError, OverflowError):
        return 1


def _cover(archive: zipfile.ZipFile, opf_path: str, package: Element) -> bytes | None:
    """Returns the cover: EPUB 3 `cover-image` or EPUB 2 `meta name="cover"`."""
    items = {item.get("id"): item for item in package.iter(f"{_OPF}item")}
    named = next(
        (
            meta.get("content")
            for meta in package.iter(f"{_OPF}meta")
            if meta.get("name") == "cover"
        ),
        None,
    )
    chosen = next(
        (
            item
            for item in items.values()
            if "cover-image" in (item.get("properties") or "").split()
        ),
        None,
    )
    item = chosen if chosen is not None else items.get(named)
    href = item.get("href") if item is not None else None
    if not href:
        return None
    path = posixpath.normpath(
        posixpath.join(posixpath.dirname(opf_path), unquote(href))
    )
    try:
        return _bytes(archive, path, COVER_BYTES)
    except _Unsafe:
        return None
