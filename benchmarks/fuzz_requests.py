"""Requests nobody should send, drawn from a seed: the same seed gives the same requests."""

import base64
import gzip
import json
import random
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

#: Method, path and body of what each route takes. `{}` is an id, `{text}` a text.
ROUTES: tuple[tuple[str, str, Any], ...] = (
    ("GET", "/", None),
    ("GET", "/book/{}", None),
    ("GET", "/login", None),
    ("POST", "/login", {"username": "admin", "password": 5, "refresh_token": "a.b.c", "email": "a@b"}),
    ("POST", "/logout", None),
    ("GET", "/style.css", None),
    ("GET", "/ws", None),
    ("GET", "/thumb/{}", None),
    ("POST", "/api/upload/check", {"mime_type": "text/plain", "size": 5, "hash": "00", "extension": "txt"}),
    ("POST", "/api/upload", None),
    ("POST", "/api/upload-cover", None),
    ("GET", "/api/uploads-meta/{}", None),
    ("GET", "/api/uploads-meta/{}/cover", None),
    ("POST", "/api/ebooks", {"title": "T", "language": {"id": 2}, "authors": [{"last_name": "A", "first_name": "B"}],
                             "series": {"title": "S"}, "series_index": 1, "genres": [{"id": 1}]}),
    ("GET", "/api/ebooks", None),
    ("GET", "/api/ebooks/index/{text}", None),
    ("GET", "/api/authors/index/{text}", None),
    ("GET", "/api/series/index/{text}", None),
    ("GET", "/api/ebooks/author/{}", None),
    ("GET", "/api/ebooks/series/{}", None),
    ("GET", "/api/ebooks/{}", None),
    ("PATCH", "/api/ebooks/{}", {"title": "T", "version_id": 1, "authors": [{"id": 1}], "series": {"id": 1},
                                 "genres": [{"id": 2}], "language": {"id": 3}, "series_index": 2}),
    ("DELETE", "/api/ebooks/{}", None),
    ("POST", "/api/ebooks/{}/add-upload", {"upload_id": 1, "quality": 5.5}),
    ("POST", "/api/ebooks/{}/rate", {"rating": 50, "description": "d"}),
    ("GET", "/api/ebooks/{}/cover", None),
    ("DELETE", "/api/sources/{}", None),
    ("GET", "/api/download/{}", None),
    ("GET", "/api/search/{text}", None),
    ("GET", "/api/authors", None),
    ("GET", "/api/series", None),
    ("GET", "/api/authors/{}", None),
    ("GET", "/api/series/{}", None),
    ("GET", "/api/languages", None),
    ("GET", "/api/genres", None),
)  # fmt: skip
GROUPS = ("routes", "fields", "text for JSON", "forms", "parts", "heads", "task calls", "frames")

_IDS = ("1", "2", "3", "0", "-1", "999999999", str(10**17), str(2**63), str(10**40), "abc", "%00", "%F0%9F%98%80", "1%2F2",
        "%D9%A3", "%ED%A0%80", "1;", "..", "%2e%2e%2f")  # fmt: skip
_TEXTS = ("a", "Target", "%00", "%", "%25", "_%", "%ED%A0%80", "%FF%FE", quote("ßИ漢\U0001f600"), "%22%20OR%201", "a" * 3000,
          "..%2F..%2Fetc", "%2F", "'", "%0D%0ASet-Cookie:x", "-".join(["."] * 60), "NEAR(", "*")  # fmt: skip
_VALUES: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63 - 1, 2**63, -(2**63) - 1, 10**30, 1.5, -0.0, 1e308, float("nan"),
    float("inf"), "", "x", "1", "\0", "a\0b", "\ud800", "\udfff\ud800", "a" * 300, "a" * 70_000, "\U0001f600", "NaN", [], {},
    [[]], [None], [1, "a", None], [{"id": 1}] * 1500, [{"id": number} for number in range(1500)], {"id": 1}, {"id": "1"},
    {"id": True}, {"id": [1]}, {"id": 2**62}, {"id": 1.5}, {"id": -1}, {"title": "\0"}, {"title": 5}, {"title": "\ud800"},
    [{"last_name": "\0"}], [{"last_name": {}}], [{"last_name": "A", "first_name": 5}], [{"id": {}}], [{"last_name": "x" * 200}],
    [{"last_name": "A"}] * 1500, {"code": "zz"}, {"name": []}, "<script>", "'; DROP TABLE ebook", "%s%n", "../../x",
)  # fmt: skip
_JSON_TEXTS = (
    b"", b" ", b"{", b"}", b"null", b"1", b'"a"', b"[]", b"[" * 30_000, b'{"a":' * 9000, b'{"title": NaN}', b'{"title": -Infinity}',
    b'{"size": 1e999}', b'{"id": ' + b"9" * 5000 + b"}", b'{"title": "a", "title": "b"}', b'{"title": "\\ud800"}',
    b'{"title": "\xff\xfe"}', b"\xef\xbb\xbf{}", b'{"title": "\x00"}', b'{"title": "' + b"\\" * 30_001, b'"' * 60_001,
    "{}".encode("utf-16"), b"{'a': 1}", b"x" * 70_000, b'{"a": 1}{"b": 2}', b'{"\\u0000": 1}', gzip.compress(b"a" * 10**7),
)  # fmt: skip
_TYPES = ("application/json", "application/json", "application/json; charset=utf-8", "application/json; charset=utf-16",
          "application/json; charset=no-such", "application/json; charset=\x80", "text/plain", "", "application/json/x", ";;",
          "multipart/form-data", "application/x-www-form-urlencoded", "application/octet-stream")  # fmt: skip
_QUERIES = ("", "", "page=1", "page=0", "page=-1", "page=a", "page=99999999999999999999", "page=" + "9" * 5000, "page=1e3",
            "page_size=0", "page_size=101", "page=%D9%A3", "sort=-created", "sort=x", "sort=%00", "genres=1,2", "genres=a",
            "genres=" + ",".join("1" * 1500), "genres=" + "9" * 30, "genres=-1", "page=1&page=2", "q=%00", "q=%22", "&&=&",
            "bearer_token=a.b.c", "bearer_token=%FF", "page=%ED%A0%80", "%00=%00")  # fmt: skip
_HEADERS = (
    "Content-Encoding: gzip", "Content-Encoding: br", "Content-Encoding: x", "Expect: 100-continue", "Expect: x",
    "Range: bytes=5-1", "Range: bytes=-0", "Range: x", "Range: bytes=999999999999999999999-", "If-Modified-Since: x",
    "If-Modified-Since: Mon, 01 Jan 99999 00:00:00 GMT", "If-None-Match: \"", "Cookie: session=\x80; =; a", "Origin: http://[",
    "Cookie: session=" + "a" * 4000, "Authorization: Bearer", "Authorization: Bearer \xff\xfe", "Authorization: Basic Zm9v",
    "Authorization: Bearer " + base64.urlsafe_b64encode(b"[" * 3000).decode() + ".e30.x", "Sec-Fetch-Site: same-origin",
    "Accept: \x7f", "X: " + "a" * 6000, "Upgrade: h2c\r\nConnection: Upgrade", "Accept-Encoding: gzip, br, zstd",
)  # fmt: skip
_HEADS = (
    b"GET\r\n\r\n", b"GET /\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", b"G\x00T / HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 20_000 + b"\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: a\r\n" * 500 + b"\r\n",
    b"GET / HTTP/1.1\r\nHost: x\r\nno colon\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\n: x\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nA b: c\r\n\r\n",
    b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: x\r\n\r\n",
    b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999\r\n\r\n",
    b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\na",
    b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nZZ\r\n",
    b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n-5\r\nabc\r\n0\r\n\r\n",
    b"POST /login HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\n",
    b"POST /login HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", b"GET http://[ HTTP/1.1\r\nHost: x\r\n\r\n",
    b"GET //x/../.. HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /%zz HTTP/1.1\r\nHost: x\r\n\r\n", b"GET /?%zz HTTP/1.1\r\nHost: \xff\r\n\r\n",
    b"GET \xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n", b"CONNECT x:1 HTTP/1.1\r\nHost: x\r\n\r\n", b"OPTIONS * HTTP/1.1\r\nHost: x\r\n\r\n",
    b"TRACE / HTTP/1.1\r\nHost: x\r\n\r\n", b"GET / HTTP/1.1\r\nHost: x\r\nHost: y\r\n\r\n", b"GET / HTTP/1.1\nHost: x\n\n",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Request:
    """`raw` is what is sent; `frames` what follows once the task engine has answered 101; None: no such thing."""

    group: str
    method: str
    raw: bytes
    frames: bytes | None = None


class Fuzzer:
    """Draws requests."""

    def __init__(self, seed: int, host: str, token: str) -> None:
        self._random = random.Random(seed)
        self._host, self._token = host, token

    def request(self) -> Request:
        """The next one."""
        kinds: tuple[Callable[[], Request], ...] = (
            self._route, self._route, self._fields, self._fields, self._json_text, self._form, self._parts, self._head,
            self._calls, self._frames,
        )  # fmt: skip
        return self._random.choice(kinds)()

    def _some(self, values: tuple[Any, ...]) -> Any:
        return self._random.choice(values)

    def _path(self, template: str) -> str:
        path = template.replace("{}", self._some(_IDS)).replace("{text}", self._some(_TEXTS))
        query = self._some(_QUERIES)
        return f"{path}?{query}" if query else path

    def _raw(self, method: str, path: str, body: bytes, kind: str, *more: str) -> bytes:
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self._host}", *more]
        if self._random.random() < 0.8:
            lines.append(f"Authorization: bearer {self._token}")
        if kind:
            lines.append(f"Content-Type: {kind}")
        if self._random.random() < 0.15:
            lines.append(self._some(_HEADERS))
        chunked = body and self._random.random() < 0.2
        if chunked:
            lines.append("Transfer-Encoding: chunked")
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        elif body or method in ("POST", "PATCH"):
            lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1") + body

    def _route(self) -> Request:
        """Any route, also with a method it does not have, or a body where none belongs."""
        method, template, _body = self._some(ROUTES)
        method = self._some((method, method, method, "GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS", "FOO"))
        body = self._some((b"", b"", b"{}", b"x" * 70_000))
        return Request("routes", method, self._raw(method, self._path(template), body, self._some(_TYPES)))

    def _fields(self) -> Request:
        """A body as the route takes it, with some values that are none."""
        method, template, body = self._some(tuple(route for route in ROUTES if route[2] is not None))
        body = dict(body)
        for _ in range(self._random.randrange(1, 3)):
            body[self._some((*body, "id", "x", "\0"))] = self._some(_VALUES)
        if self._random.random() < 0.3:
            body.pop(self._some(tuple(body)))
        # A right name with a wrong password costs half a second: others try those.
        if template == "/login" and isinstance(body.get("password"), str):
            body.pop("password")
        sent = json.dumps(self._some((body, body, body, [body], self._some(_VALUES)))).encode()
        return Request("fields", method, self._raw(method, self._path(template), sent, "application/json"))

    def _json_text(self) -> Request:
        """No JSON, or JSON that does harm."""
        method, template, _body = self._some(tuple(route for route in ROUTES if route[2] is not None))
        raw = self._raw(method, self._path(template), self._some(_JSON_TEXTS), self._some(_TYPES))
        return Request("text for JSON", method, raw)

    def _form(self) -> Request:
        """The login's form."""
        body = self._some((b"", b"=", b"&" * 3000, b"username=%FF", b"username=\xff", b"a=1&" * 50, b"password", b"%00=%00",
                           b"x" * 66_000))  # fmt: skip
        more = self._some(((), ("Sec-Fetch-Site: same-origin",), ("Origin: http://" + self._host,)))
        kind = self._some(("application/x-www-form-urlencoded", "application/x-www-form-urlencoded; charset=utf-7"))
        path = self._some(("/logout", "/login", "/login"))
        # A form that can be read is a login with a wrong password, which takes its time.
        body = body if path == "/logout" or b"%FF" in body or len(body) > 60_000 else b"a=1&" * 50
        return Request("forms", "POST", self._raw("POST", path, body, kind, *more))

    def _parts(self) -> Request:
        """Uploads, badly packed."""
        name = self._some(('name="file"', "name=file", 'name="x"', "", 'name="file"; name="file"', "name*=utf-8''file"))
        file = self._some(('filename="a.txt"', 'filename=""', 'filename="a\0b.txt"', "filename*=utf-8''a.txt", "", 'filename="'
                           + "a" * 7000 + '.txt"', 'filename="../../x.epub"', 'filename="\xff.txt"', 'filename="Война.txt"',
                           'filename=".."'))  # fmt: skip
        head = f"Content-Disposition: form-data; {name}; {file}".encode("utf-8" if "В" in file else "latin-1")
        head += self._some((b"", b"\r\nContent-Type: text/plain", b"\r\nContent-Type: image/png", b"\r\nno colon", b"\r\n: x",
                            b"\r\nContent-Encoding: gzip", b"\r\nContent-Transfer-Encoding: base64", b"\r\nContent-Length: 99",
                            b"\r\nX: a" * 2000))  # fmt: skip
        start = self._some(
            (
                b"--b\r\n",
                b"--b\r\n",
                b"--b\r\n",
                b"\r\n--b\r\n",
                b"x\r\n" * 40_000 + b"--b\r\n",
                b"--c\r\n",
                b"--b--\r\n",
            )
        )
        stop = self._some(
            (b"\r\n--b--\r\n", b"\r\n--b--", b"\r\n--b\r\n", b"", b"\r\n--b--\r\n" + b"x" * 90_000, b"\r\n--bx--")
        )
        content = self._some((b"", b"abc", b"\r\n", b"\r\n--", b"a" * 300_000, self._random.randbytes(20)))
        kind = self._some(("multipart/form-data; boundary=b", "multipart/form-data; boundary=b", "multipart/form-data",
                           "multipart/mixed; boundary=b", 'multipart/form-data; boundary=""', "multipart/form-data; boundary="
                           + "b" * 80, "multipart/form-data; boundary*=utf-8''b"))  # fmt: skip
        path = self._some(("/api/upload", "/api/upload", "/api/upload-cover"))
        body = start + head + b"\r\n\r\n" + content + stop
        return Request("parts", "POST", self._raw("POST", path, body, kind))

    def _head(self) -> Request:
        """What is no HTTP."""
        raw: bytes = self._some(_HEADS)
        if self._random.random() < 0.3:
            raw = self._random.randbytes(30).replace(b"\n", b"") + b"\r\n\r\n"
        return Request("heads", "GET", raw)

    def _upgrade(self) -> bytes:
        return (
            f"GET /ws?token={self._token} HTTP/1.1\r\nHost: {self._host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
        ).encode()

    def _calls(self) -> Request:
        """Calls of tasks."""
        args = [self._some(_VALUES) for _ in range(self._random.randrange(4))]
        call = self._some((
            [1, "metadata", {"args": args}], [1, "cover", {"args": args}], [1, "x", {}], [1], [], args, {}, [1, 2, 3],
            [{}, "metadata", {"args": args}], [1, "cover", {"args": [".." * 5, *args]}], [1, "metadata", {"args": 5}],
        ))  # fmt: skip
        text: bytes = self._some((json.dumps(call).encode(), json.dumps(call).encode(), *_JSON_TEXTS))
        return Request("task calls", "GET", self._upgrade(), _frame(text[:60_000]))

    def _frames(self) -> Request:
        """Frames that are none, or too large."""
        frames: bytes = self._some((
            b"\x81\x05hello", _frame(b"x" * 70_000), b"\x81\xff" + struct.pack(">Q", 2**63 - 1) + b"abcd", _frame(b"\xff\xfe"),
            b"\xf1\x80abcd", b"\x83\x80abcd", b"\x89\xff" + struct.pack(">Q", 300) + b"a" * 304, self._random.randbytes(40),
            _frame(b"[1", final=False) + b"\x81\x80abcd", b"\x88\x81abcd" + b"x", b"\x82\x83abcdxyz", b"\x00\x80abcd",
        ))  # fmt: skip
        return Request("frames", "GET", self._upgrade(), frames)


def _frame(text: bytes, *, final: bool = True) -> bytes:
    """A masked text frame; the mask is zeros."""
    first = 0x81 if final else 0x01
    if len(text) < 126:
        length = struct.pack(">BB", first, 0x80 | len(text))
    elif len(text) < 65_536:
        length = struct.pack(">BBH", first, 0xFE, len(text))
    else:
        length = struct.pack(">BBQ", first, 0xFF, len(text))
    return length + bytes(4) + text
