"""A bare client of the protocol for the contract suite: it returns responses as they
are and checks nothing."""

import hashlib
import io
import json
import random
import uuid
import zipfile
from dataclasses import dataclass, field
from hashlib import sha1
from typing import Any

import requests
import websocket
from PIL import Image

from tests.support.servers.shelf import Shelf

TIMEOUT = 90


@dataclass(slots=True)
class Server:
    """The server under test, with a user logged in."""

    url: str
    ws_url: str
    username: str
    password: str
    http: requests.Session = field(default_factory=requests.Session)
    token: str = ""

    def login(self) -> None:
        """Gets a token."""
        body = {"username": self.username, "password": self.password}
        self.token = self.http.post(
            f"{self.url}/login", json=body, timeout=TIMEOUT
        ).json()["access_token"]
        self.http.headers["Authorization"] = f"bearer {self.token}"

    def call(
        self, method: str, path: str, body: object = None, **more: Any
    ) -> requests.Response:
        """One request."""
        return self.http.request(
            method, self.url + path, json=body, timeout=TIMEOUT, **more
        )

    def socket(self, session: str = "") -> websocket.WebSocket:
        """A connection to the task engine."""
        more = f"&session_id={session}" if session else ""
        return websocket.create_connection(
            f"{self.ws_url}?token={self.token}{more}", timeout=TIMEOUT
        )

    def task(self, name: str, *args: object) -> dict[str, Any]:
        """Runs a task; returns its last message."""
        socket = self.socket()
        try:
            socket.send(json.dumps([1, name, {"args": list(args)}]))
            last: dict[str, Any] = frames_until_end(socket, 1)[-1][2]
            return last
        finally:
            socket.close()

    # -- steps of the way of a file ----------------------------------------------------

    def check(
        self,
        data: bytes,
        *,
        extension: str = "epub",
        mime: str = "application/epub+zip",
        **more: object,
    ) -> Any:
        """What `check` says of these bytes."""
        body = {
            "mime_type": mime,
            "size": len(data),
            "hash": digest(data),
            "extension": extension,
            **more,
        }
        return self.call("POST", "/api/upload/check", body).json()

    def upload(
        self, data: bytes, name: str = "book.epub", mime: str = "application/epub+zip"
    ) -> requests.Response:
        """Sends bytes."""
        return self.call("POST", "/api/upload", files={"file": (name, data, mime)})

    def extracted(self, data: bytes, proposed: dict[str, Any]) -> dict[str, Any]:
        """Uploads and extracts; returns the uploads-meta record."""
        file = self.upload(data).json()["file"]
        upload_id = self.task("metadata", file, proposed)["result"]
        record: dict[str, Any] = self.call(
            "GET", f"/api/uploads-meta/{upload_id}"
        ).json()
        return record

    def ebook(self, **fields: object) -> int:
        """Makes an ebook; returns its id."""
        body = {"title": title(), "language": {"id": self.language_id()}, **fields}
        return int(self.call("POST", "/api/ebooks", body).json()["id"])

    def with_file(self, data: bytes, **fields: object) -> tuple[int, int]:
        """An ebook with these bytes attached: its id and the source's."""
        record = self.extracted(data, {"title": "x"})
        ebook_id = self.ebook(**fields)
        answer = self.call(
            "POST", f"/api/ebooks/{ebook_id}/add-upload", {"upload_id": record["id"]}
        )
        return ebook_id, int(answer.json()["id"])

    def language_id(self, code: str = "en") -> int:
        """The id of a language."""
        return next(
            int(item["id"])
            for item in self.call("GET", "/api/languages").json()
            if item["code"] == code
        )

    def genre_id(self, name: str) -> int:
        """The id of a genre."""
        return next(
            int(item["id"])
            for item in self.call("GET", "/api/genres").json()
            if item["name"] == name
        )


def frames_until_end(socket: websocket.WebSocket, call_id: object) -> list[Any]:
    """All frames of one call, up to its end."""
    frames = []
    while True:
        frame = json.loads(socket.recv())
        if frame[1] != call_id:
            continue
        frames.append(frame)
        if frame[0] == "e" or (
            frame[0] == "m" and frame[2]["status"] in ("success", "error")
        ):
            return frames


def digest(data: bytes) -> str:
    """SHA-1, as the server compares it."""
    return sha1(data).hexdigest()


def title() -> str:
    """A title like the worker's working titles, new for every call."""
    return f"Voina i mir ~{uuid.uuid4().hex[:8]}-{random.randrange(10**6)}"


def epub(
    *,
    book_title: str = "Contract Book",
    author: str = "Jane Doe",
    language: str = "en",
    subject: str = "",
) -> bytes:
    """A small EPUB whose bytes are new for every call."""
    subjects = f"<dc:subject>{subject}</dc:subject>" if subject else ""
    opf = (
        '<?xml version="1.0"?><package xmlns="http://www.idpf.org/2007/opf" '
        'version="2.0" unique-identifier="i">'
        '<metadata xmlns:dc="http://purl.org/dc/elements/1.1/" '
        'xmlns:opf="http://www.idpf.org/2007/opf">'
        f'<dc:identifier id="i">{uuid.uuid4()}</dc:identifier><dc:title>{book_title}</dc:title>'
        "<dc:creator "
        f'opf:role="aut">{author}</dc:creator><dc:language>{language}</dc:language>{subjects}</metadata>'
        '<manifest><item id="t" href="t.xhtml" media-type="application/xhtml+xml"/></manifest>'
        '<spine><itemref idref="t"/></spine></package>'
    )
    container = (
        '<?xml version="1.0"?><container version="1.0" '
        'xmlns="urn:oasis:names:tc:opendocument:xmlns:container">'
        '<rootfiles><rootfile full-path="c.opf" '
        'media-type="application/oebps-package+xml"/></rootfiles></container>'
    )
    text = (
        "<html "
        f'xmlns="http://www.w3.org/1999/xhtml"><head><title>t</title></head><body><p>{uuid.uuid4()}</p></body></html>'
    )
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("mimetype", "application/epub+zip")
        archive.writestr("META-INF/container.xml", container)
        archive.writestr("c.opf", opf)
        archive.writestr("t.xhtml", text)
    return buffer.getvalue()


def picture() -> bytes:
    """A small JPEG."""
    buffer = io.BytesIO()
    Image.new("RGB", (200, 300), (random.randrange(256), 80, 120)).save(buffer, "JPEG")
    return buffer.getvalue()


def client(shelf: Shelf) -> Server:
    """A client that is logged in."""
    made = Server(shelf.url, shelf.ws_url, shelf.username, shelf.password)
    made.login()
    return made


def jpeg(name: str) -> bytes:
    """A picture in one colour."""
    buffer = io.BytesIO()
    Image.new("RGB", (400, 600), name).save(buffer, "JPEG")
    return buffer.getvalue()


def by_sha1(
    session: requests.Session, url: str
) -> dict[str, tuple[dict[str, Any], str]]:
    """Every file on the server, downloaded again: its SHA-1 -> (its ebook, its
    format)."""
    found: dict[str, tuple[dict[str, Any], str]] = {}
    page = 1
    while True:
        answer = session.get(
            f"{url}/api/ebooks?page={page}&page_size=100&sort=created", timeout=20
        )
        if answer.status_code == 404:
            return found
        for item in answer.json()["items"]:
            ebook = session.get(f"{url}/api/ebooks/{item['id']}", timeout=20).json()
            for source in ebook["sources"]:
                data = session.get(
                    f"{url}/api/download/{source['id']}", timeout=20
                ).content
                found[hashlib.sha1(data).hexdigest()] = (ebook, source["format"])
        page += 1


def seen(ebook: dict[str, Any]) -> dict[str, Any]:
    """The same of an ebook of the server."""
    return {
        "title": ebook["title"],
        "authors": {
            (author["last_name"], author.get("first_name", ""))
            for author in ebook["authors"]
        },
        "series": ebook.get("series", {}).get("title"),
        "series_index": ebook.get("series_index"),
        "language": ebook["language"]["code"],
        "genres": {genre["name"] for genre in ebook["genres"]},
        "rating": ebook.get("rating"),
    }
