"""Settings of the server, shared by the containers, the embedded server and the worker.

Every constant can be overridden by an environment variable of its own name. MyBookshelf2 itself imports this
file in the containers in place of its own, so nothing here imports the project.
"""

import os


def _integer(name: str, default: int) -> int:
    value = os.environ.get(name, "").strip()
    try:
        return int(value) if value else default
    except ValueError:
        raise SystemExit(f"{name}={value!r} is not a whole number; unset it or give one") from None


#: The longest request body the server accepts, in bytes (500 MB). It counts the whole body: file and multipart framing.
MAX_CONTENT_LENGTH = _integer("MAX_CONTENT_LENGTH", 500 * 1024 * 1024)
