"""The one part of an upload, read as it arrives. What is around it (preamble, headers,
epilogue) is bounded."""

from collections.abc import AsyncIterator
from email.message import Message

from aiohttp import web

from bookshelf.errors import NOT_UNDERSTOOD, TOO_LARGE, HttpError
from bookshelf.http.bodies import BodyStream

#: Bytes before the content (preamble and headers), and after it.
FRAMING_BYTES = 8 * 1024
#: The longest boundary, RFC 2046.
BOUNDARY_LENGTH = 70


class FilePart:
    """The part named `file`: its file name ("" is possible), its content type, its
    bytes."""

    def __init__(
        self, head: Message, stream: BodyStream, start: bytes, delimiter: bytes
    ) -> None:
        self.filename = str(head.get_param("filename", header="Content-Disposition"))
        self.content_type = str(head.get("Content-Type", ""))
        self._stream, self._start, self._delimiter = stream, start, delimiter

    async def blocks(self) -> AsyncIterator[bytes]:
        """The bytes of the file. The last block is given only after all that belongs to
        the body was seen. Raises HttpError when it ends too early, or is too long."""
        pending, kept = self._start, len(self._delimiter) - 1
        while (at := pending.find(self._delimiter)) < 0:
            # The end of what is there may be the beginning of the delimiter.
            if len(pending) > kept:
                yield pending[:-kept]
                pending = pending[-kept:]
            pending += await _more(self._stream)
        await self._end(pending[at + len(self._delimiter) :])
        if at:
            yield pending[:at]

    async def _end(self, rest: bytes) -> None:
        """Reads to the end of the body, which must be the end of the parts, too."""
        while len(rest) < 2:
            rest += await _more(self._stream)
        if rest[:2] != b"--":
            raise HttpError(400, NOT_UNDERSTOOD)
        length = 0
        while rest:
            length += len(rest)
            if length > FRAMING_BYTES:
                raise HttpError(413, TOO_LARGE)
            rest = await self._stream.block()


async def file_part(request: web.Request, longest: int) -> FilePart:
    """The part of a request that uploads one file, in a body of at most `longest` bytes.

    Raises HttpError: 400, 408, 413.
    """
    if request.content_type != "multipart/form-data":
        raise HttpError(400, NOT_UNDERSTOOD)
    delimiter = b"\r\n--" + _boundary(request.headers["Content-Type"])
    stream = BodyStream(request, longest)
    # The first delimiter may stand at the very beginning.
    pending = b"\r\n"
    while (end := _end_of_head(pending, delimiter)) < 0:
        if len(pending) > FRAMING_BYTES:
            raise HttpError(413, TOO_LARGE)
        pending += await _more(stream)
    if end > FRAMING_BYTES:
        raise HttpError(413, TOO_LARGE)
    head = _head(pending[pending.find(delimiter) + len(delimiter) : end])
    names = [
        head.get_param(name, header="Content-Disposition")
        for name in ("name", "filename")
    ]
    # `filename*` alone is decoded to a tuple, and no file name to this protocol.
    if names[0] != "file" or not isinstance(names[1], str):
        raise HttpError(400, NOT_UNDERSTOOD)
    return FilePart(head, stream, pending[end + 4 :], delimiter)


async def _more(stream: BodyStream) -> bytes:
    data = await stream.block()
    if not data:
        raise HttpError(400, NOT_UNDERSTOOD)
    return data


def _end_of_head(pending: bytes, delimiter: bytes) -> int:
    """Where the headers of the first part end; -1 when they do not, yet."""
    start = pending.find(delimiter)
    return -1 if start < 0 else pending.find(b"\r\n\r\n", start + len(delimiter))


def _boundary(content_type: str) -> bytes:
    head = Message()
    head["Content-Type"] = _plain(content_type)
    boundary = head.get_param("boundary")
    if (
        not isinstance(boundary, str)
        or not 0 < len(boundary) <= BOUNDARY_LENGTH
        or not boundary.isascii()
    ):
        raise HttpError(400, NOT_UNDERSTOOD)
    return boundary.encode()


def _head(raw: bytes) -> Message:
    """The headers of a part. Raises HttpError for what is not `Name: value`, and for
    control characters."""
    head = Message()
    try:
        lines = raw.decode("utf-8").split("\r\n")
    except UnicodeDecodeError:
        raise HttpError(400, NOT_UNDERSTOOD) from None
    # What stands on the line of the delimiter itself is padding.
    for line in lines[1:] if not lines[0].strip(" \t") else [""]:
        name, colon, value = line.partition(":")
        if not colon or not name.isascii() or not name.replace("-", "").isalnum():
            raise HttpError(400, NOT_UNDERSTOOD)
        head[name] = _plain(value.strip(" \t"))
    return head


def _plain(value: str) -> str:
    if any(
        (ord(char) < 32 and char != "\t")
        or ord(char) == 127
        or "\ud800" <= char <= "\udfff"
        for char in value
    ):
        raise HttpError(400, NOT_UNDERSTOOD)
    return value
