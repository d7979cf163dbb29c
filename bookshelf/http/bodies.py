"""Request bodies: bounded in size, time, encoding, nesting and numbers before use."""

import asyncio
import json
import re
from typing import Any, NoReturn
from urllib.parse import parse_qsl

from aiohttp import web

from bookshelf.errors import TOO_LARGE, ApplicationError, HttpError

#: The longest body of a request other than an upload.
BODY_BYTES = 64 * 1024
#: The same for a shelf's item: MyBookshelf2 takes notes of 200,000 characters, each of
#: which JSON may write with twelve.
NOTE_BYTES = 4 * 1024 * 1024
#: The same for a batch of books.
IMPORT_BYTES = 64 * 1024 * 1024
#: A sender must transfer this many bytes in this many seconds, or finish its body. A
#: slow line is much faster; a client that only wants to hold the connection is not.
STALL_SECONDS, STALL_BYTES = 60.0, 64 * 1024
#: Nesting of lists and objects. The protocol needs four levels.
DEPTH = 32
FORM_FIELDS = 20

_INTEGERS = range(-(2**63), 2**63)
#: A whole string, also an unclosed one; or a bracket outside of strings.
_STRING_OR_BRACKET = re.compile(r'"(?:[^"\\]|\\.|\\\Z)*(?:"|\Z)|[\[\]{}]', re.DOTALL)


class BodyStream:
    """The bytes of one body as they arrive."""

    def __init__(self, request: web.Request, limit: int) -> None:
        """`limit` is in bytes of the whole body."""
        self._content = request.content
        self._left = limit
        self._since = 0
        self._deadline = asyncio.get_running_loop().time() + STALL_SECONDS

    async def block(self) -> bytes:
        """Returns the next bytes; b"" at the end.

        Raises HttpError: 413 over the limit, 408 when nothing arrives, 400 when the
        body is broken; ConnectionError when the sender is gone.
        """
        try:
            async with asyncio.timeout_at(self._deadline):
                data = await self._content.readany()
        except TimeoutError:
            raise HttpError(
                408,
                f"The body did not arrive: less than {STALL_BYTES} bytes in {STALL_SECONDS:g} s",
            ) from None
        except web.RequestPayloadError:
            raise HttpError(400, "The body of the request is broken") from None
        self._left -= len(data)
        if self._left < 0:
            raise HttpError(413, TOO_LARGE)
        self._since += len(data)
        if self._since >= STALL_BYTES:
            self._since, self._deadline = (
                0,
                asyncio.get_running_loop().time() + STALL_SECONDS,
            )
        return data


async def _text(request: web.Request, limit: int = BODY_BYTES) -> str:
    """Returns a whole body as text. Raises HttpError."""
    charset = request.charset or "utf-8"
    if charset.lower() not in ("utf-8", "utf8", "us-ascii", "ascii"):
        raise HttpError(415, "Unsupported charset, only UTF-8 is taken")
    stream, body = BodyStream(request, limit), bytearray()
    while data := await stream.block():
        body += data
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError:
        raise HttpError(400, "The body is not UTF-8") from None


async def json_object(
    request: web.Request,
    *,
    otherwise: str = "Invalid or missing data",
    limit: int = BODY_BYTES,
) -> dict[str, Any]:
    """Returns the object that a request sends as JSON.

    Raises HttpError, with the message `otherwise` when it is not JSON; ApplicationError
    for a list.
    """
    if request.content_type != "application/json":
        raise HttpError(400, otherwise)
    try:
        body = parse_json(await _text(request, limit))
    except ValueError as error:
        raise HttpError(400, f"Failed to decode JSON object: {error}") from None
    if isinstance(body, list):
        raise ApplicationError("Invalid data", "Invalid data type")
    if not isinstance(body, dict):
        raise HttpError(400, otherwise)
    return body


async def form(request: web.Request) -> dict[str, str]:
    """Returns the fields of a form (`application/x-www-form-urlencoded`).

    Raises HttpError.
    """
    try:
        fields = parse_qsl(
            await _text(request),
            keep_blank_values=True,
            errors="strict",
            max_num_fields=FORM_FIELDS,
        )
    except ValueError:
        raise HttpError(400, "The form cannot be read") from None
    return dict(fields)


def parse_json(text: str) -> object:
    """Parses JSON with 64-bit numbers, unique names and valid Unicode.

    Raises ValueError, with a reason that contains nothing of the text.
    """
    if _depth(text) > DEPTH:
        raise ValueError(f"nested deeper than {DEPTH}")
    try:
        value = json.loads(
            text,
            parse_int=_integer,
            parse_float=_number,
            parse_constant=_no_constant,
            object_pairs_hook=_object,
        )
    except json.JSONDecodeError as error:
        raise ValueError(f"{error.msg} at {error.pos}") from None
    if "\\u" in text:
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            raise ValueError("half a surrogate pair, which is no character") from None
    return value


def _depth(text: str) -> int:
    """Returns how deep its lists and objects are nested, before they are parsed."""
    deepest = level = 0
    for match in _STRING_OR_BRACKET.finditer(text):
        first = match[0][0]
        if first in "[{":
            level += 1
            deepest = max(deepest, level)
        elif first in "]}":
            level -= 1
    return deepest


def _integer(digits: str) -> int:
    if len(digits) > 20 or (number := int(digits)) not in _INTEGERS:
        raise ValueError("a number beyond 64 bits")
    return number


def _number(digits: str) -> float:
    number = float(digits)
    if number in (float("inf"), float("-inf")):
        raise ValueError("a number beyond 64 bits")
    return number


def _no_constant(_name: str) -> NoReturn:
    raise ValueError("Infinity and NaN are no JSON")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a name is there twice in one object")
    return made
