"""The secrets of an environment, in the forms in which they reach a text. Pure."""

import base64
import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache
from html import escape
from urllib.parse import parse_qsl, quote, quote_plus, unquote, urlsplit

#: Shorter values are too likely to be part of an innocent word.
SHORTEST = 6

_SECRET_NAME = re.compile(
    r"KEY|TOKEN|SECRET|PASS|PWD|CREDENTIAL|WEBHOOK|_URI$|_DSN$|AUTH|COOKIE",
    re.IGNORECASE,
)
#: Names that contain such a word but tell where something is, or who wrote it.
_HARMLESS_NAME = re.compile(
    r"^(?:OLD)?PWD$|AUTHORITY$|AUTHORS?(?:_|$)|_SOCK$|_FILE$|_DIR$|ASKPASS$|^PASSENGER_"
    r"|KEYRING|KEYBOARD|KEYMAP",
    re.IGNORECASE,
)
#: Parameters of a URI or a connection string that are secret.
_SECRET_PARAMETER = re.compile(
    r"pass(?:word|wd)?|pwd|secret|token|key|sig", re.IGNORECASE
)
_PARAMETER = re.compile(
    r"(\w*(?:pass(?:word|wd)?|pwd|secret|token))\s*=\s*"
    r"(?:'((?:\\.|[^'\\])*)'|\"((?:\\.|[^\"\\])*)\"|([^\s;'\"]+))",
    re.IGNORECASE,
)
#: A part of a webhook's path that is a key: longer than a word, with digits.
_KEY_IN_PATH = re.compile(r"(?=[^/]*\d)[\w.~-]{8,}")
#: From so many characters on Base64 of a part of a text identifies it.
_SHORTEST_BASE64 = 7


def is_secret_name(name: str) -> bool:
    """Whether a variable of this name holds a secret.

    Names of places do not (`PWD`, `SSH_AUTH_SOCK`, `XAUTHORITY`): a path mistaken for a
    secret would remove every line with the user's files.
    """
    return bool(_SECRET_NAME.search(name)) and not _HARMLESS_NAME.search(name)


def secret_values(environment: Mapping[str, str]) -> frozenset[str]:
    """Returns the values of variables whose names look secret."""
    return frozenset(
        value
        for name, value in environment.items()
        if is_secret_name(name) and len(value) >= SHORTEST
    )


@lru_cache(maxsize=16)
def all_forms(values: frozenset[str]) -> tuple[str, ...]:
    """Returns these values, the secrets inside them, and all their forms, longest first.

    A URI holds a password, which a server may repeat alone; in a URL it is encoded, in
    JSON or Python quoted, in a header Base64.
    """
    whole = {*values, *(part for value in values for part in _parts(value))}
    forms = {form for value in whole for form in _forms(value)}
    return tuple(sorted(forms, key=lambda form: (-len(form), form)))


def _parts(value: str) -> Iterator[str]:
    """Yields the secrets inside a URI or a connection string."""
    found: list[str] = []
    try:
        uri = urlsplit(value)
        found += [uri.password or "", *_keys_of(uri.path, uri.scheme)]
        found += [
            text for key, text in parse_qsl(uri.query) if _SECRET_PARAMETER.search(key)
        ]
    except ValueError:
        # No URI that Python can read: what follows finds its password nevertheless.
        pass
    user_part = value.partition("://")[2].rpartition("@")[0]
    found.append(user_part.partition(":")[2])
    found += [
        match[2] or match[3] or match[4] or "" for match in _PARAMETER.finditer(value)
    ]
    for part in found:
        for text in (part, unquote(part), re.sub(r"\\(.)", r"\1", part)):
            if len(text) >= SHORTEST:
                yield text


def _keys_of(path: str, scheme: str) -> Iterable[str]:
    return _KEY_IN_PATH.findall(path) if scheme in ("http", "https") else ()


def _forms(value: str) -> Iterator[str]:
    raw = _bytes_of(value)
    yield value
    for encoded in (quote(raw, safe=""), quote(raw), quote_plus(raw)):
        yield encoded
        yield re.sub(r"%[0-9A-F]{2}", lambda match: match[0].lower(), encoded)
    yield json.dumps(value)[1:-1]
    yield json.dumps(value, ensure_ascii=False)[1:-1]
    yield repr(value)[1:-1]
    yield repr(raw)[2:-1]
    yield escape(value)
    yield value.replace("'", "''")
    yield value.replace("'", "\\'")
    yield value.replace(" ", "\\ ")
    yield raw.hex()
    yield from _in_base64(raw)


def _bytes_of(value: str) -> bytes:
    """Returns the bytes of a value of the environment, which need not be UTF-8."""
    try:
        return value.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return value.encode("utf-8", "surrogatepass")


def _in_base64(value: bytes) -> Iterator[str]:
    """Yields what Base64 of any text with this value in it has in common."""
    for before in range(3):
        code = base64.b64encode(b"\0" * before + value).decode().rstrip("=")
        # What stands before and after it shares the characters at both ends.
        first = (0, 2, 3)[before]
        last = len(code) - ((before + len(value)) % 3 > 0)
        core = code[first:last]
        if len(core) >= _SHORTEST_BASE64:
            yield core
            yield core.replace("+", "-").replace("/", "_")
