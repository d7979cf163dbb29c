"""settings.py, as the worker imports it and as MyBookshelf2 does in place of its
own."""

import ast
import importlib.util
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import pytest

from tests.support.environment import PROJECT

SOURCE = PROJECT / "settings.py"
SECRETS = {
    "MBS2_SECRET_KEY": "k" * 32,
    "MBS2_SECRET_KEY2": "l" * 32,
    "MBS2_DELEGATED_TOKEN": "t" * 32,
    "MBS2_DB_PASSWORD": "p",
}


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """Imports the file anew, as a module of its own, with these variables in the
    environment."""
    names = ["settings_under_test", "PGPORT"]

    def load(**environment: str) -> ModuleType:
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        spec = importlib.util.spec_from_file_location(names[0], SOURCE)
        assert spec is not None and spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[names[0]] = module
        spec.loader.exec_module(module)
        return module

    # what reading the database sets is taken back with this
    monkeypatch.setenv("PGPORT", "")
    yield load
    sys.modules.pop(names[0], None)


def as_flask_reads(module: ModuleType) -> dict[str, object]:
    """What `app.config.from_object` takes: every name in capitals that `dir` shows; our
    own helpers left out."""
    return {
        name: getattr(module, name)
        for name in dir(module)
        if name.isupper() and not name.startswith("_")
    }


def test_what_the_server_gets(load: Any) -> None:
    """Every name that the server reads; the values are those of its own settings but
    for limit, secrets and cookie."""
    module = load(MBS2_DATA_DIR="/data", **SECRETS)
    assert as_flask_reads(module) == {
        "MAX_CONTENT_LENGTH": 524288000,
        "MAX_COVER_FILE_SIZE": 10485760,
        "MAX_INDEX_SIZE": 100,
        "DEBUG": False,
        "TOKEN_VALIDITY_HOURS": 4,
        "TOKEN_REFRESH_HOURS": 8760,
        "SESSION_PROTECTION": "strong",
        "REMEMBER_COOKIE_HTTPONLY": True,
        "SESSION_COOKIE_SAMESITE": "Lax",
        "DISABLE_CORS": False,
        "CORS_HOSTS": "*",
        "CORS_PORTS": None,
        "CORS_SECURE": False,
        "DATA_BASE_DIR": "/data",
        "UPLOAD_DIR": "/data/uploads",
        "THUMBS_DIR": "/data/thumbs",
        "BOOKS_BASE_DIR": "/data/books",
        "BOOKS_CONVERTED_DIR": "/data/converted",
        "BOOKS_FILE_SCHEMA": "%(author)s/%(title)s(%(language)s)/%(author)s - %(title)s",
        "BOOKS_FILE_SCHEMA_SERIE": (
            "%(author)s/%(serie)s/%(serie)s %(serie_index)d - %(title)s(%(language)s)/"
            "%(author)s - %(serie)s %(serie_index)d - %(title)s"
        ),
        "CONVERSION_FORMATS": ["epub", "mobi", "fb2"],
        "CONVERTABLE_TYPES": (
            # Readable.
            "doc docx odt rtf epub mobi fb2 htm html azw3 lit pdb chm prc txt pdf".split()  # noqa: SIM905
        ),
        "CONVERTED_BATCH_PREFIX": "__batch__",
        "CALIBRE_META_TOOL": "/usr/bin/ebook-meta",
        "CALIBRE_CONVERT_TOOL": "/usr/bin/ebook-convert",
        "IMAGE_MAGIC": "/usr/bin/convert",
        "OOFFICE": "/usr/bin/soffice",
        "COVER_SIZE": (320, 452),
        "THUMBNAIL_SIZE": (100, 140),
        "THUMBNAIL_FILE": "thumbnail.jpg",
        "DELEGATED_URI": "tcp://localhost:9080/ws",
        "SQLALCHEMY_TRACK_MODIFICATIONS": False,
        "SQLALCHEMY_ENGINE_OPTIONS": {"pool_pre_ping": True},
        "SECRET_KEY": "k" * 32,
        "SECRET_KEY2": "l" * 32,
        "DELEGATED_TOKEN": "t" * 32,
        "DB_HOST": "localhost",
        "DB_PORT": 5432,
        "DB_NAME": "ebooks",
        "DB_USER": "ebooks",
        "DB_PASSWORD": "p",
        "SQLALCHEMY_DATABASE_URI": "postgresql://ebooks:p@localhost:5432/ebooks",
    }


def test_the_engine_takes_its_configuration_from_the_dictionary(load: Any) -> None:
    """The cover task reads `settings.__dict__`: what it needs must stand there, not be
    looked up."""
    assert {"UPLOAD_DIR", "BOOKS_BASE_DIR", "THUMBS_DIR", "THUMBNAIL_FILE"} <= set(
        vars(load())
    )


def test_worker_and_embedded_server_need_no_secret(load: Any) -> None:
    """The import itself demands nothing; a name that does not exist is an
    AttributeError as ever."""
    module = load()
    assert module.MAX_CONTENT_LENGTH == 500 * 1024 * 1024
    assert not hasattr(module, "NO_SUCH_NAME")


def test_all_that_is_missing_is_named_at_once(load: Any) -> None:
    """One start is enough to learn everything that is to be set, why, and how it is
    made."""
    with pytest.raises(SystemExit) as caught:
        as_flask_reads(load())
    said = str(caught.value)
    for name in SECRETS:
        assert f"{name} is not set; it " in said
    assert said.count("openssl rand -hex 32") == len(SECRETS)


@pytest.mark.parametrize(
    "name", ["SECRET_KEY", "DELEGATED_TOKEN", "DB_PASSWORD", "SQLALCHEMY_DATABASE_URI"]
)
def test_whatever_is_read_first_demands_all(load: Any, name: str) -> None:
    """The task engine reads the database at its start and a secret only at the first
    login: too late to stop."""
    module = load(**{**SECRETS, "MBS2_DELEGATED_TOKEN": ""})
    with pytest.raises(SystemExit, match="MBS2_DELEGATED_TOKEN is not set"):
        getattr(module, name)


#: What is set wrongly, and what is said of it.
UNUSABLE = [
    ({"MBS2_SECRET_KEY": "short"}, "MBS2_SECRET_KEY has fewer than 32 characters"),
    ({"MBS2_SECRET_KEY2": "k" * 32}, "must differ from each other"),
    ({"MBS2_DB_PASSWORD": "a b"}, "MBS2_DB_PASSWORD must not hold blanks"),
    (
        {"MBS2_DB_PASSWORD": "don't"},
        "MBS2_DB_PASSWORD must not hold blanks, single quotes",
    ),
    ({"MBS2_DB_NAME": "back\\slash"}, "MBS2_DB_NAME must not hold"),
    ({"MBS2_DB_PORT": "x"}, "MBS2_DB_PORT='x' is not a whole number"),
    ({"MBS2_DB_URI": "mysql://u:hidden@h/n"}, "MBS2_DB_URI is not like postgresql://"),
    (
        {"MBS2_DB_URI": "postgresql://u:hidden@h:port/n"},
        "MBS2_DB_URI is not like postgresql://",
    ),
    ({"MBS2_DB_URI": "postgresql://h/n"}, "MBS2_DB_PASSWORD is not set"),
]


@pytest.mark.parametrize(("given", "said"), UNUSABLE)
def test_what_the_server_could_not_use(
    load: Any, given: dict[str, str], said: str
) -> None:
    """An error names the variable; no value of a secret is in it."""
    with pytest.raises(SystemExit) as caught:
        as_flask_reads(load(**{**SECRETS, **given}))
    assert said in str(caught.value)
    assert not {"short", "k" * 32, "a b", "don't", "hidden"} & set(
        str(caught.value).replace(":", " ").split()
    )
    assert "a b" not in str(caught.value)


def test_a_password_is_quoted_in_the_uri(load: Any) -> None:
    """Signs that mean something in a URI."""
    module = load(
        **{
            **SECRETS,
            "MBS2_DB_PASSWORD": "p@s/s:w%rd",
            "MBS2_DB_HOST": "db",
            "MBS2_DB_PORT": "5433",
        }
    )
    assert (
        module.SQLALCHEMY_DATABASE_URI
        == "postgresql://ebooks:p%40s%2Fs%3Aw%25rd@db:5433/ebooks"
    )
    assert module.DB_PASSWORD == "p@s/s:w%rd"


def test_one_uri_serves_the_engine_too(
    load: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The web server connects by URI, the task engine by parts, without the port: libpq
    has it from PGPORT."""
    uri = "postgresql://me:p%40s@db.example:5433/books"
    module = load(
        **{
            **SECRETS,
            "MBS2_DB_URI": uri,
            "MBS2_DB_PASSWORD": "",
            "MBS2_DB_HOST": "elsewhere",
        }
    )
    parts = [
        module.DB_HOST,
        module.DB_PORT,
        module.DB_NAME,
        module.DB_USER,
        module.DB_PASSWORD,
    ]
    assert parts == ["db.example", 5433, "books", "me", "p@s"]
    assert uri == module.SQLALCHEMY_DATABASE_URI
    assert module.os.environ["PGPORT"] == "5433"


#: variable, its text, the constant, its value
OVERRIDES = [
    ("MAX_CONTENT_LENGTH", "1000", "MAX_CONTENT_LENGTH", 1000),
    ("MBS2_DEBUG", "false", "DEBUG", False),
    ("MBS2_DISABLE_CORS", "on", "DISABLE_CORS", True),
    ("CORS_HOSTS", "a.example, b.example", "CORS_HOSTS", ["a.example", "b.example"]),
    ("CORS_PORTS", "80,8080", "CORS_PORTS", [80, 8080]),
    ("CORS_PORTS", "8000-8999", "CORS_PORTS", (8000, 8999)),
    ("COVER_SIZE", "640x904", "COVER_SIZE", (640, 904)),
    ("CONVERSION_FORMATS", "epub", "CONVERSION_FORMATS", ["epub"]),
    ("OOFFICE", "/opt/soffice", "OOFFICE", "/opt/soffice"),
    ("UPLOAD_DIR", "/fast/uploads", "UPLOAD_DIR", "/fast/uploads"),
    ("MBS2_DELEGATED_HOST", "backend", "DELEGATED_URI", "tcp://backend:9080/ws"),
    ("MBS2_DELEGATED_PORT", "9081", "DELEGATED_URI", "tcp://localhost:9081/ws"),
    ("MBS2_DELEGATED_URI", "unix:///run/x", "DELEGATED_URI", "unix:///run/x"),
    (
        "SQLALCHEMY_POOL_PRE_PING",
        "0",
        "SQLALCHEMY_ENGINE_OPTIONS",
        {"pool_pre_ping": False},
    ),
    ("TOKEN_VALIDITY_HOURS", " ", "TOKEN_VALIDITY_HOURS", 4),
]


@pytest.mark.parametrize(("variable", "text", "constant", "value"), OVERRIDES)
def test_the_environment_wins(
    load: Any, variable: str, text: str, constant: str, value: object
) -> None:
    """Every kind of value."""
    assert getattr(load(**{variable: text}), constant) == value


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("MBS2_DEBUG", "maybe"),
        ("COVER_SIZE", "big"),
        ("CORS_PORTS", "80;81"),
        ("MAX_CONTENT_LENGTH", "500 MB"),
    ],
)
def test_a_wrong_value_is_named(load: Any, variable: str, text: str) -> None:
    """Variable and value are in the error."""
    with pytest.raises(SystemExit, match=f"{variable}='{text}' is "):
        load(**{variable: text})


def test_it_reads_on_every_python_the_server_may_run_on() -> None:
    """MyBookshelf2 was written for Python 3.5; 3.6 is the oldest its users may still
    have. Nothing but its library."""
    tree = ast.parse(SOURCE.read_text("utf-8"), feature_version=(3, 6))
    imported = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    imported |= {
        str(node.module).split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom)
    }
    assert imported <= sys.stdlib_module_names
    bare = [
        node for node in ast.walk(tree) if isinstance(node, ast.arg | ast.FunctionDef)
    ]
    hints = [
        node.returns if isinstance(node, ast.FunctionDef) else node.annotation
        for node in bare
    ]
    # Python 3.6 cannot evaluate list[str] or a | b; in quotes it does not try.
    assert not [
        ast.unparse(hint)
        for hint in hints
        if isinstance(hint, ast.Subscript | ast.BinOp)
    ]
