"""Text that a database, a log line, a JSON file and a file system can hold.

Pure, total, idempotent. Titles, names and error bodies come from books and servers and
are hostile: NUL breaks PostgreSQL, a newline forges a log line, a bidi override makes
`gpj.exe` read `exe.jpg`, and a lone surrogate cannot be encoded at all.
"""

import math
import re

from common.json_value import Json

#: C0 and C1 controls, bidi overrides and isolates, surrogates, noncharacters, the byte
#: order mark inside a text.
_FORBIDDEN = (
    r"\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff\ufdd0-\ufdef"
    + "".join(f"\\U{plane:04x}fffe-\\U{plane:04x}ffff" for plane in range(17))
)
_REMOVED = re.compile(f"[{_FORBIDDEN}]")
_BLANKS = re.compile(r"\s+")
_LINE_ENDS = re.compile("\r\n?|[\u2028\u2029\x85\x0b\x0c]")
_SEPARATORS = re.compile(r'[/\\:*?"<>|]')

#: The longest file name most file systems accept, in bytes.
NAME_BYTES = 255
#: How deep JSON of a book may be nested; deeper parts become text.
MAX_DEPTH = 20


def sanitize_text(value: str | bytes, *, multiline: bool = False) -> str:
    """Returns the text without characters that should not be stored or shown.

    Invalid UTF-8 becomes U+FFFD. On one line, each run of white space becomes one blank
    and the ends are stripped; with `multiline`, line ends become a newline and blanks
    stay.
    """
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else value
    if multiline:
        return _REMOVED.sub("", _LINE_ENDS.sub("\n", text))
    # White space first: a removed character must not join two words, and a removed
    # control must not leave two blanks.
    return _BLANKS.sub(" ", _REMOVED.sub("", _BLANKS.sub(" ", text))).strip()


def sanitize_filename(name: str | bytes) -> str:
    """Returns one path component: no separators, never empty, `.` or `..`.

    It has at most 255 bytes; the extension is kept.
    """
    text = sanitize_text(_SEPARATORS.sub("_", sanitize_text(name)))
    if not text.strip(". "):
        text = text.replace(".", "_").strip() or "_"
    if len(text.encode()) <= NAME_BYTES:
        return text
    stem, dot, extension = text.rpartition(".")
    if not dot or len(extension.encode()) > 16:
        stem, extension = text, ""
    tail = dot + extension if extension else ""
    kept = (
        stem.encode()[: NAME_BYTES - len(tail.encode())]
        .decode("utf-8", "ignore")
        .rstrip()
    )
    return f"{kept}{tail}"


def for_log(text: str | bytes, limit: int = 300) -> str:
    """Returns one line for a log, cut to `limit` characters with an ellipsis."""
    clean = sanitize_text(text)
    return clean if len(clean) <= limit else clean[: limit - 1].rstrip() + "…"


def sanitize_json(value: object, depth: int = 0) -> Json:
    """Converts a value of a database to JSON that every reader accepts.

    No NaN, no infinity, no bytes, bounded depth.
    """
    if depth > MAX_DEPTH:
        return sanitize_text(str(value), multiline=True)
    match value:
        case None | bool() | int():
            return value
        case float():
            return value if math.isfinite(value) else str(value)
        case dict():
            return {
                sanitize_text(str(key)): sanitize_json(item, depth + 1)
                for key, item in value.items()
            }
        case list() | tuple() | set() | frozenset():
            return [sanitize_json(item, depth + 1) for item in value]
        case _:
            return sanitize_text(
                value if isinstance(value, str | bytes) else str(value), multiline=True
            )
