"""Error answers of the server.

Application errors are HTTP 200 with `error`, others a status with JSON or HTML.
"""

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
        """Returns the response."""
        body: dict[str, Any] = {"error": self.error}
        if self.details is not None:
            body["error_details"] = self.details
        return json_answer(body)


class HttpError(CodedError):
    """An HTTP error with its message; the route decides between JSON and a page."""

    code = "request-failed"

    def __init__(self, status: int, message: str, *, retry_after: int = 0) -> None:
        """`retry_after` is after how many seconds the request may succeed.

        0 if it will not.
        """
        super().__init__(message)
        self.status = status
        self.message = message
        self.retry_after = retry_after

    def answer(self, *, as_json: bool) -> web.Response:
        """Returns the response."""
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


#: The message for a body that the route does not accept, worded as MyBookshelf2's.
NOT_UNDERSTOOD = (
    "The browser (or proxy) sent a request that this server could not understand."
)
TOO_LARGE = "The data value transmitted exceeds the capacity limit."
#: What MyBookshelf2's database refuses without a word is HTTP 500 there.
FOREIGN_KEY = "Internal Server Error: a foreign key is violated"
NOT_FOUND = "The requested URL was not found on the server."


def json_answer(body: object, status: int = 200) -> web.Response:
    """Returns a JSON answer, ASCII only as the real server's."""
    return web.Response(
        status=status, text=json.dumps(body) + "\n", content_type="application/json"
    )
