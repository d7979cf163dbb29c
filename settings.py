"""Settings of the server, as MyBookshelf2's containers read them.

MyBookshelf2 imports this file in place of its own (docs/deployment.md), so the names
are its names, and every Python it runs on reads this: nothing newer than 3.6, nothing
but the standard library. Each value can be overridden by the environment: by the
`MBS2_` variable named beside it, otherwise by a variable of its own name. The secrets
and the database have no value here and are asked for when the server reads them.

The embedded server and the worker have theirs from `common/settings/`."""

import logging
import os
import sys
import types
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit


def _text(name: str, default: str) -> str:
    return os.environ.get(name, "").strip() or default


def _integer(name: str, default: int) -> int:
    value = os.environ.get(name, "").strip()
    try:
        return int(value) if value else default
    except ValueError:
        raise SystemExit(
            f"{name}={value!r} is not a whole number; unset it or give one"
        ) from None


def _flag(name: str, default: bool) -> bool:
    value = os.environ.get(name, "").strip().lower()
    known = {
        "": default,
        "1": True,
        "true": True,
        "yes": True,
        "on": True,
        "0": False,
        "false": False,
        "no": False,
    }
    try:
        return known[value] if value != "off" else False
    except KeyError:
        raise SystemExit(
            f"{name}={value!r} is neither yes nor no; unset it or give 1 or 0"
        ) from None


def _words(name: str, default: str) -> "list[str]":
    return [word.strip() for word in _text(name, default).split(",") if word.strip()]


def _width_and_height(name: str, default: str) -> "tuple[int, int]":
    value = _text(name, default)
    width, _, height = value.lower().partition("x")
    if not (width.isdecimal() and height.isdecimal()):
        raise SystemExit(
            f"{name}={value!r} is not WIDTHxHEIGHT in pixels; unset it or give one like {default}"
        )
    return int(width), int(height)


def _ports(name: str) -> "list[int] | tuple[int, int] | None":
    value = _text(name, "")
    first, dash, last = value.partition("-")
    try:
        if dash:
            return int(first), int(last)
        return [int(word) for word in value.split(",")] if value else None
    except ValueError:
        raise SystemExit(
            f"{name}={value!r} is not a list of ports (80,8080) or a range (8000-8999)"
        ) from None


#: The longest request body the server accepts, in bytes (500 MB). The whole body
#: counts: file and multipart framing.
MAX_CONTENT_LENGTH = _integer("MAX_CONTENT_LENGTH", 500 * 1024 * 1024)
#: The largest picture passed to the cover task, in bytes.
MAX_COVER_FILE_SIZE = _integer("MAX_COVER_FILE_SIZE", 10 * 1024 * 1024)
#: The most items /api/…/index/<prefix> returns.
MAX_INDEX_SIZE = _integer("MAX_INDEX_SIZE", 100)

#: Turns on Flask's debugger and logs everything, access tokens included. Never turn it
#: on where others can reach the server.
DEBUG = _flag("MBS2_DEBUG", False)
if DEBUG:
    logging.basicConfig(level=logging.DEBUG)

# Logins. An access token is valid for some hours; the refresh token that renews it, for
# a year.
TOKEN_VALIDITY_HOURS = _integer("TOKEN_VALIDITY_HOURS", 4)
TOKEN_REFRESH_HOURS = _integer("TOKEN_REFRESH_HOURS", 365 * 24)
SESSION_PROTECTION = _text("SESSION_PROTECTION", "strong")
REMEMBER_COOKIE_HTTPONLY = _flag("REMEMBER_COOKIE_HTTPONLY", True)
#: The browser's cookie authorises /api too, so other sites must not be able to use it.
SESSION_COOKIE_SAMESITE = _text("SESSION_COOKIE_SAMESITE", "Lax")

# Which other web sites may call the API from a browser: hosts (`*` or a list), ports (a
# list, a range or any), HTTPS only or not.
DISABLE_CORS = _flag("MBS2_DISABLE_CORS", False)
CORS_HOSTS = "*" if _text("CORS_HOSTS", "*") == "*" else _words("CORS_HOSTS", "")  # type: str | list[str]
CORS_PORTS = _ports("CORS_PORTS")
CORS_SECURE = _flag("CORS_SECURE", False)

# Directories.
DATA_BASE_DIR = _text("MBS2_DATA_DIR", str(Path(__file__).resolve().parent / "data"))
UPLOAD_DIR = _text("UPLOAD_DIR", str(Path(DATA_BASE_DIR, "uploads")))
THUMBS_DIR = _text("THUMBS_DIR", str(Path(DATA_BASE_DIR, "thumbs")))
BOOKS_BASE_DIR = _text("BOOKS_BASE_DIR", str(Path(DATA_BASE_DIR, "books")))
BOOKS_CONVERTED_DIR = _text(
    "BOOKS_CONVERTED_DIR", str(Path(DATA_BASE_DIR, "converted"))
)

# How a book's files are named below BOOKS_BASE_DIR: directory, then file name without
# extension.
_ALONE = "%(title)s"
_IN_SERIES = "%(serie)s %(serie_index)d - %(title)s"
BOOKS_FILE_SCHEMA = _text(
    "BOOKS_FILE_SCHEMA", f"%(author)s/{_ALONE}(%(language)s)/%(author)s - {_ALONE}"
)
BOOKS_FILE_SCHEMA_SERIE = _text(
    "BOOKS_FILE_SCHEMA_SERIE",
    f"%(author)s/%(serie)s/{_IN_SERIES}(%(language)s)/%(author)s - {_IN_SERIES}",
)

# Conversion: target formats, and source formats, best first.
CONVERSION_FORMATS = _words("CONVERSION_FORMATS", "epub,mobi,fb2")
CONVERTABLE_TYPES = _words(
    "CONVERTABLE_TYPES",
    "doc,docx,odt,rtf,epub,mobi,fb2,htm,html,azw3,lit,pdb,chm,prc,txt,pdf",
)
CONVERTED_BATCH_PREFIX = _text("CONVERTED_BATCH_PREFIX", "__batch__")

# Programs that the task engine starts.
CALIBRE_META_TOOL = _text("CALIBRE_META_TOOL", "/usr/bin/ebook-meta")
CALIBRE_CONVERT_TOOL = _text("CALIBRE_CONVERT_TOOL", "/usr/bin/ebook-convert")
IMAGE_MAGIC = _text("IMAGE_MAGIC", "/usr/bin/convert")
OOFFICE = _text("OOFFICE", "/usr/bin/soffice")

# Sizes of covers, in pixels.
COVER_SIZE = _width_and_height("COVER_SIZE", "320x452")
THUMBNAIL_SIZE = _width_and_height("THUMBNAIL_SIZE", "100x140")
THUMBNAIL_FILE = _text("THUMBNAIL_FILE", "thumbnail.jpg")

# The web server passes conversions to the task engine over its delegated port.
_DELEGATED_HOST = _text("MBS2_DELEGATED_HOST", "localhost")
DELEGATED_URI = _text(
    "MBS2_DELEGATED_URI",
    f"tcp://{_DELEGATED_HOST}:{_integer('MBS2_DELEGATED_PORT', 9080)}/ws",
)

SQLALCHEMY_TRACK_MODIFICATIONS = _flag("SQLALCHEMY_TRACK_MODIFICATIONS", False)
#: Connections are tested before use, so that a restart of the database costs no
#: request.
SQLALCHEMY_ENGINE_OPTIONS = {"pool_pre_ping": _flag("SQLALCHEMY_POOL_PRE_PING", True)}

#: What each secret is for. It is read from MBS2_<name>.
_SECRETS = {
    "SECRET_KEY": "signs access tokens and cookies: whoever knows it can log in as anybody",
    "SECRET_KEY2": "signs refresh tokens: whoever knows it can renew a login for ever",
    "DELEGATED_TOKEN": "opens the task engine's delegated port: whoever knows it can "
    "give tasks as any user",
}
_SECRET_LENGTH = 32
_MAKE_ONE = "make one with: openssl rand -hex 32"
_DATABASE = (
    "DB_HOST",
    "DB_PORT",
    "DB_NAME",
    "DB_USER",
    "DB_PASSWORD",
    "SQLALCHEMY_DATABASE_URI",
)


def _secrets_and_database() -> "dict[str, object]":
    """Returns what only the server reads, by name.

    Exits with a message that names everything that is missing or wrong.
    """
    unread: list[str] = []
    secrets = {name: _secret(f"MBS2_{name}", unread).strip() for name in _SECRETS}
    uri = _secret("MBS2_DB_URI", unread).strip()
    password = _secret("MBS2_DB_PASSWORD", unread)
    wrong = unread or [
        f"MBS2_{name} "
        f"{'is not set' if not value else f'has fewer than {_SECRET_LENGTH} characters'}; "
        ""
        f"it {_SECRETS[name]}; {_MAKE_ONE}"
        for name, value in secrets.items()
        if len(value) < _SECRET_LENGTH
    ]
    if not wrong and len(set(secrets.values())) < len(secrets):
        wrong.append(
            f"{', '.join(f'MBS2_{name}' for name in secrets)} must differ from each "
            f"other; {_MAKE_ONE}"
        )
    database = _from_uri(uri) or _from_parts(password)
    wrong += [] if unread else _unusable(database)
    if wrong:
        raise SystemExit(
            "MyBookshelf2 cannot start:\n" + "\n".join(f"  {line}" for line in wrong)
        )
    # The engine's own connection string leaves the port out; libpq reads it from here
    # instead.
    os.environ["PGPORT"] = str(database["DB_PORT"])
    return {**secrets, **database}


def _secret(name: str, wrong: "list[str]") -> str:
    """Returns a secret: the variable's value, or the only line of the file that
    <name>_FILE names. What keeps it from being read is added to `wrong`."""
    value, place = os.environ.get(name, ""), os.environ.get(f"{name}_FILE", "").strip()
    if not place:
        return value
    if value.strip():
        wrong.append(f"{name} and {name}_FILE are both set; leave one of them out")
        return ""
    try:
        text = Path(place).read_text("utf-8").rstrip("\r\n")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is not text in UTF-8"
        wrong.append(f"{name}_FILE={place} cannot be read: {reason}")
        return ""
    if not text.strip() or "\n" in text:
        what = "has more than one line" if text.strip() else "is empty"
        wrong.append(f"{name}_FILE={place} {what}; the secret is its only line")
        return ""
    return text


def _from_parts(password: str) -> "dict[str, object]":
    user = _text("MBS2_DB_USER", "ebooks")
    host, port = _text("MBS2_DB_HOST", "localhost"), _integer("MBS2_DB_PORT", 5432)
    name = _text("MBS2_DB_NAME", "ebooks")
    login = f"{quote(user, '')}:{quote(password, '')}"
    return {
        "DB_HOST": host,
        "DB_PORT": port,
        "DB_NAME": name,
        "DB_USER": user,
        "DB_PASSWORD": password,
        "SQLALCHEMY_DATABASE_URI": f"postgresql://{login}@{host}:{port}/{quote(name, '')}",
    }


def _from_uri(uri: str) -> "dict[str, object]":
    """Splits MBS2_DB_URI, because the engine connects by parts.

    Empty when it is not set.
    """
    if not uri:
        return {}
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname, parts.port or 5432
    except ValueError:
        host = None
    if not host or not parts.scheme.startswith("postgresql"):
        raise SystemExit(
            "MBS2_DB_URI is not like postgresql://user:password@host:5432/name; "
            "correct it or unset it"
        )
    return {
        "DB_HOST": host,
        "DB_PORT": port,
        "DB_NAME": unquote(parts.path[1:]) or "ebooks",
        "DB_USER": unquote(parts.username or "ebooks"),
        "DB_PASSWORD": unquote(parts.password or ""),
        "SQLALCHEMY_DATABASE_URI": uri,
    }


def _unusable(database: "dict[str, object]") -> "list[str]":
    """Returns what is wrong with the database settings.

    The engine writes them into a connection string without quoting.
    """
    wrong = []
    if not database["DB_PASSWORD"]:
        wrong.append(
            "MBS2_DB_PASSWORD is not set; it is the password of the server's "
            f"database user; {_MAKE_ONE}"
        )
    for name in ("DB_HOST", "DB_NAME", "DB_USER", "DB_PASSWORD"):
        if set(" \t\n'\\") & set(str(database[name])):
            wrong.append(
                f"MBS2_{name} must not hold blanks, single quotes or backslashes: "
                "MyBookshelf2 does not quote it"
            )
    return wrong


class _Settings(types.ModuleType):
    """This module, with secrets and database settings looked up when they are read.

    A module-level `__getattr__` (PEP 562) would need Python 3.7.
    """

    def __getattr__(self, name: str) -> object:
        if name in _SECRETS or name in _DATABASE:
            return _secrets_and_database()[name]
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")

    def __dir__(self) -> "list[str]":
        """Lists all names, because Flask takes its configuration from them."""
        return [*self.__dict__, *_SECRETS, *_DATABASE]


sys.modules[__name__].__class__ = _Settings
