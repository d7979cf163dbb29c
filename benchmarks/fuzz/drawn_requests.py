"""Requests nobody should send, drawn from a seed: the same seed gives the same
requests."""

import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.fuzz.values import (
    CALLS,
    CONTENTS,
    FILE_NAMES,
    FRAMES,
    HEADERS,
    HEADS,
    IDS,
    JSON_TEXTS,
    PACKED,
    PACKINGS,
    PART_HEADERS,
    PART_NAMES,
    QUERIES,
    ROUTES,
    STARTS,
    STOPS,
    TEXTS,
    TYPES,
    VALUES,
    frame,
)

GROUPS = (
    "routes",
    "fields",
    "text for JSON",
    "forms",
    "parts",
    "heads",
    "task calls",
    "frames",
)


@dataclass(frozen=True, slots=True)
class Request:
    """`raw` is what is sent; `frames` what follows once the task engine has answered
    101; None: no such thing."""

    group: str
    method: str
    raw: bytes
    frames: bytes | None = None


class Fuzzer:
    """Draws requests."""

    def __init__(self, seed: int, host: str, token: str) -> None:
        self._random = random.Random(seed)
        self._host, self._token = host, token
        #: Uploads there are, as the task engine is told of them.
        self.uploads: list[str] = []

    def request(self) -> Request:
        """The next one."""
        kinds: tuple[Callable[[], Request], ...] = (
            self._route,
            self._route,
            self._fields,
            self._fields,
            self._json_text,
            self._form,
            self._parts,
            self._head,
            self._calls,
            self._frames,
        )
        return self._random.choice(kinds)()

    def _some(self, values: tuple[Any, ...]) -> Any:
        return self._random.choice(values)

    def _mostly(self, usual: Any, others: tuple[Any, ...], share: float = 0.8) -> Any:
        return usual if self._random.random() < share else self._some(others)

    def _path(self, template: str) -> str:
        number = self._mostly(str(self._random.randrange(1, 40)), IDS, 0.5)
        path = template.replace("{}", number).replace("{text}", self._some(TEXTS))
        query = self._mostly("", QUERIES, 0.5)
        return f"{path}?{query}" if query else path

    def _raw(self, method: str, path: str, body: bytes, kind: str, *more: str) -> bytes:
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self._host}", *more]
        if self._random.random() < 0.8:
            lines.append(f"Authorization: bearer {self._token}")
        if kind:
            lines.append(f"Content-Type: {kind}")
        if self._random.random() < 0.15:
            lines.append(self._some(HEADERS))
        chunked = body and self._random.random() < 0.2
        if chunked:
            lines.append("Transfer-Encoding: chunked")
            body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
        elif body or method in ("POST", "PATCH"):
            lines.append(f"Content-Length: {len(body)}")
        return (
            "\r\n".join([*lines, "Connection: close", "", ""]).encode("latin-1") + body
        )

    def _route(self) -> Request:
        """Any route, also with a method it does not have, or a body where none
        belongs."""
        method, template, _body = self._some(ROUTES)
        method = self._some(
            (
                method,
                method,
                method,
                "GET",
                "POST",
                "PUT",
                "PATCH",
                "DELETE",
                "HEAD",
                "OPTIONS",
                "FOO",
            )
        )
        body = self._some((b"", b"", b"{}", b"x" * 70_000))
        return Request(
            "routes",
            method,
            self._raw(method, self._path(template), body, self._some(TYPES)),
        )

    def _fields(self) -> Request:
        """A body as the route takes it, with some values that are none."""
        method, template, body = self._some(
            tuple(route for route in ROUTES if route[2] is not None)
        )
        body = dict(body)
        for _ in range(self._random.randrange(1, 3)):
            body[self._some((*body, "id", "x", "\0"))] = self._some(VALUES)
        if self._random.random() < 0.3:
            body.pop(self._some(tuple(body)))
        # A right name with a wrong password costs half a second: others try those.
        if template == "/login" and isinstance(body.get("password"), str):
            body.pop("password")
        sent = json.dumps(
            self._some((body, body, body, [body], self._some(VALUES)))
        ).encode()
        return Request(
            "fields",
            method,
            self._raw(method, self._path(template), sent, "application/json"),
        )

    def _json_text(self) -> Request:
        """No JSON, or JSON that does harm."""
        method, template, _body = self._some(
            tuple(route for route in ROUTES if route[2] is not None)
        )
        raw = self._raw(
            method, self._path(template), self._some(JSON_TEXTS), self._some(TYPES)
        )
        return Request("text for JSON", method, raw)

    def _form(self) -> Request:
        """The login's form."""
        body = self._some(
            (
                b"",
                b"=",
                b"&" * 3000,
                b"username=%FF",
                b"username=\xff",
                b"a=1&" * 50,
                b"password",
                b"%00=%00",
                b"x" * 66_000,
            )
        )
        more = self._some(
            ((), ("Sec-Fetch-Site: same-origin",), ("Origin: http://" + self._host,))
        )
        kind = self._some(
            (
                "application/x-www-form-urlencoded",
                "application/x-www-form-urlencoded; charset=utf-7",
            )
        )
        path = self._some(("/logout", "/login", "/login"))
        # A form that can be read is a login with a wrong password, which takes its
        # time.
        body = (
            body
            if path == "/logout" or b"%FF" in body or len(body) > 60_000
            else b"a=1&" * 50
        )
        return Request("forms", "POST", self._raw("POST", path, body, kind, *more))

    def _parts(self) -> Request:
        """Uploads, badly packed."""
        kind = self._mostly(PACKED, PACKINGS, 0.9)
        path = self._some(("/api/upload", "/api/upload", "/api/upload-cover"))
        head = b"Content-Disposition: form-data; " + self._mostly(
            b'name="file"', PART_NAMES, 0.9
        )
        head += b"; " + self._mostly(b'filename="a.txt"', FILE_NAMES, 0.6)
        head += self._mostly(b"\r\nContent-Type: text/plain", PART_HEADERS, 0.7)
        content = self._mostly(self._random.randbytes(20), CONTENTS, 0.5)
        body = (
            self._mostly(b"--b\r\n", STARTS)
            + head
            + b"\r\n\r\n"
            + content
            + self._mostly(b"\r\n--b--\r\n", STOPS, 0.7)
        )
        return Request("parts", "POST", self._raw("POST", path, body, kind))

    def _head(self) -> Request:
        """What is no HTTP."""
        raw: bytes = self._some(HEADS)
        if self._random.random() < 0.3:
            raw = self._random.randbytes(30).replace(b"\n", b"") + b"\r\n\r\n"
        return Request("heads", "GET", raw)

    def _upgrade(self) -> bytes:
        return (
            f"GET /ws?token={self._token} HTTP/1.1\r\nHost: {self._host}\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: "
            "MDEyMzQ1Njc4OWFiY2RlZg==\r\n\r\n"
        ).encode()

    def _calls(self) -> Request:
        """Calls of tasks: what they propose for a file that is there, or anything
        else."""
        proposed = {
            key: self._some(VALUES)
            for key in self._random.sample(
                (
                    "title",
                    "authors",
                    "series",
                    "series_index",
                    "language",
                    "genres",
                    "x",
                ),
                2,
            )
        }
        file = self._mostly(self._some(tuple(self.uploads)), VALUES)
        args = self._mostly([file, proposed], tuple([file, value] for value in VALUES))
        call = self._mostly(
            [1, self._some(("metadata", "metadata", "cover")), {"args": args}], CALLS
        )
        text = self._mostly(json.dumps(call).encode(), JSON_TEXTS)
        return Request("task calls", "GET", self._upgrade(), frame(text[:60_000]))

    def _frames(self) -> Request:
        """Frames that are none, or too large."""
        frames = self._mostly(self._some(FRAMES), (self._random.randbytes(40),))
        return Request("frames", "GET", self._upgrade(), frames)
