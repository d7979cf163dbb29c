"""How the server says no: application errors are HTTP 200 with `error`, others a status
in JSON or HTML."""

import json
from typing import Any

from aiohttp import web

from common.errors import CodedError


class ApplicationError(CodedError):
    """An application error: HTTP 200, `{"error": …, "error_details": …}`."""

    code = "request-refused"

    def __init__(self, error: str, details: object = None) -> None:
        super().__init__(error)
        self.error = error
        self.details = details

    def answer(self) -> web.Response:
        """The body of the response."""
        body: dict[str, Any] = {"error": self.error}
        if self.details is not None:
            body["error_details"] = self.details
        return json_answer(body)


class HttpError(CodedError):
    """An HTTP error with its sentence; the route decides whether it is told as JSON or
    as a page."""

    code = "request-failed"

    def __init__(self, status: int, message: str, *, retry_after: int = 0) -> None:
        """`retry_after`: seconds after which the same request may do better, 0 when it
        will not."""
        super().__init__(message)
        self.status = status
        self.message = message
        self.retry_after = retry_after

    def answer(self, *, as_json: bool) -> web.Response:
        """The body of the response."""
        if as_json:
            answer = json_answer({"message": self.message}, self.status)
        else:
            text = self.message.replace("&", "&amp;").replace("<", "&lt;")
            page = (
                "<!DOCTYPE "
                f"html>\n<title>{self.status}</title>\n<h1>{self.status}</h1>\n<p>{text}</p>\n"
            )
            answer = web.Response(
                status=self.status, text=page, content_type="text/html"
            )
        if self.retry_after:
            answer.headers["Retry-After"] = str(self.retry_after)
        return answer


#: A body that is not what the route takes, in the words of MyBookshelf2's web server.
NOT_UNDERSTOOD = (
    "The browser (or proxy) sent a request that this server could not understand."
)
TOO_LARGE = "The data value transmitted exceeds the capacity limit."
NOT_FOUND = "The requested URL was not found on the server."


def json_answer(body: object, status: int = 200) -> web.Response:
    """A JSON answer, ASCII only as the real server's."""
    return web.Response(
        status=status, text=json.dumps(body) + "\n", content_type="application/json"
    )
