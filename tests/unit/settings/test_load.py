"""Where settings come from, which source counts, and what is said of a wrong value."""

from dataclasses import FrozenInstanceError
from itertools import combinations
from pathlib import Path

import pytest

import settings as of_server
from common.exit_status import ExitCode
from common.settings.load import (
    Option,
    Source,
    Sources,
    WrongSetting,
    check,
    load,
    read,
    sources,
)
from common.settings.programs import BookshelfSettings, StartSettings
from common.settings.reference import PROGRAMS
from common.settings.setting import settings_of
from common.settings.worker import WorkerSettings

#: The sources in their order, with the value that each gives PROBE_SECONDS.
ORDER = {"option": "1", "environment": "2", "auto_monitor/.env": "3", ".env": "4"}
SOME = [names for size in range(5) for names in combinations(ORDER, size)]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project's folder without files."""
    (tmp_path / "auto_monitor").mkdir()
    return tmp_path


def given_by(
    project: Path, names: tuple[str, ...], variable: str = "PROBE_SECONDS"
) -> Sources:
    """Each of these sources gives the variable its value."""
    for name in names:
        if name.endswith(".env"):
            (project / name).write_text(f"{variable}={ORDER[name]}\n", "utf-8")
    environment = {variable: ORDER["environment"]} if "environment" in names else {}
    options = (
        {variable: Option("--probe", ORDER["option"])} if "option" in names else {}
    )
    return sources(project, environment).with_options(options)


@pytest.mark.parametrize("names", SOME, ids=" ".join)
def test_the_first_source_that_names_a_setting_counts(
    project: Path, names: tuple[str, ...]
) -> None:
    """Option, environment, auto_monitor/.env, .env, default: every combination of
    them."""
    expected = float(ORDER[names[0]]) if names else 15.0
    assert load(WorkerSettings, given_by(project, names)).probe_seconds == expected


@pytest.mark.parametrize("names", [names for names in SOME if names], ids=" ".join)
def test_an_empty_text_says_nothing(project: Path, names: tuple[str, ...]) -> None:
    """The next source counts then."""
    found = given_by(project, names[1:])
    empty = {"option": Option("--probe", " ")} if names[0] == "option" else {}
    (project / names[0]).write_text("PROBE_SECONDS=\n", "utf-8") if names[0].endswith(
        ".env"
    ) else None
    if names[0] == "environment":
        found = sources(project, {"PROBE_SECONDS": "  "})
    if empty:
        given = {"PROBE_SECONDS": empty["option"]}
        found = found.with_options(given)
    expected = float(ORDER[names[1]]) if names[1:] else 15.0
    assert load(WorkerSettings, found).probe_seconds == expected


@pytest.mark.parametrize(
    ("name", "where"),
    [
        ("option", "option --probe"),
        ("environment", "the environment"),
        ("auto_monitor/.env", "{project}/auto_monitor/.env"),
        (".env", "{project}/.env"),
    ],
)
def test_a_wrong_value_is_one_line_that_says_where_it_comes_from(
    project: Path, name: str, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Name, value, what is allowed, source."""
    monkeypatch.setitem(ORDER, name, "soon")
    with pytest.raises(WrongSetting) as caught:
        load(WorkerSettings, given_by(project, (name,)))
    assert str(caught.value) == (
        "PROBE_SECONDS='soon' is not a number from 0.01 to 3600 (seconds); it comes from "
        + where.format(project=project)
    )
    assert caught.value.exit_code is ExitCode.USAGE


def test_every_wrong_value_has_its_line() -> None:
    """And none of the others is lost by it."""
    texts = {"PROBE_SECONDS": "nan", "BATCH_SIZE": "0", "MIGRATE_LIMIT": "7"}
    values, wrong = read(WorkerSettings, Sources(Source("here", texts)))
    assert [line.partition("=")[0] for line in sorted(wrong)] == [
        "BATCH_SIZE",
        "PROBE_SECONDS",
    ]
    assert (values.probe_seconds, values.batch_size, values.limit) == (15.0, 1000, 7)


def test_a_value_that_does_not_count_is_not_read() -> None:
    """An option mends what the environment has wrong."""
    environment = Source("the environment", {"BATCH_SIZE": "many"})
    given = Sources(environment, options={"BATCH_SIZE": Option("--batch-size", "5")})
    assert load(WorkerSettings, given).batch_size == 5


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ("MBS2_PASSWORD", "hunter2" * 1000),
        ("MBS2_DB_URI", "hunter2\0"),
        ("MBS2_SERVER", "ftp://me:hunter2@nas"),
    ],
)
def test_no_error_shows_a_secret(variable: str, text: str) -> None:
    """Neither of a secret setting nor a login inside a URL."""
    with pytest.raises(WrongSetting) as caught:
        load(WorkerSettings, Sources(Source("the environment", {variable: text})))
    assert str(caught.value).startswith(variable)
    assert "hunter2" not in str(caught.value)


def test_a_hostile_value_stays_one_short_line() -> None:
    """No line end, no control character, no megabyte."""
    text = "1\n2\x1b[31m" + "x" * 10_000
    with pytest.raises(WrongSetting) as caught:
        load(WorkerSettings, Sources(Source("the environment", {"BATCH_SIZE": text})))
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


def test_the_values_are_frozen_and_secrets_are_not_shown() -> None:
    """Not even by repr."""
    secrets = {"MBS2_PASSWORD": "hunter2", "MBS2_DB_URI": "postgresql://a:hunter2@h/n"}
    values = load(WorkerSettings, Sources(Source("the environment", secrets)))
    assert values.password == "hunter2"
    assert "hunter2" not in repr(values)
    with pytest.raises(FrozenInstanceError):
        values.limit = 3  # type: ignore[misc]


def test_files_can_be_left_unread(project: Path) -> None:
    """READ_ENV_FILES=0: whoever starts a program has decided everything."""
    (project / ".env").write_text("BATCH_SIZE=7\n", "utf-8")
    for text in ("0", "no", " off "):
        unread = sources(project, {"READ_ENV_FILES": text})
        assert load(WorkerSettings, unread).batch_size == 1000
    assert (
        load(WorkerSettings, sources(project, {"READ_ENV_FILES": "0"})).batch_size
        == 1000
    )
    assert (
        load(WorkerSettings, sources(project, {"READ_ENV_FILES": "1"})).batch_size == 7
    )


def test_a_file_that_cannot_be_read_is_named(project: Path) -> None:
    """As every other wrong thing: a sentence, and exit status 2."""
    (project / ".env").write_bytes(b"A=\xff\xfe\n")
    with pytest.raises(WrongSetting, match=r"/\.env cannot be read: it is not UTF-8"):
        sources(project, {})


def test_whoever_hands_on_checks_for_all_programs(project: Path) -> None:
    """Each wrong setting once, with its source: the other program would not know it."""
    (project / ".env").write_text("TASK_SECONDS=x\nMAX_CONTENT_LENGTH=0\n", "utf-8")
    found = sources(project, {"BATCH_SIZE": "0"})
    with pytest.raises(WrongSetting) as caught:
        check(found, WorkerSettings, BookshelfSettings)
    lines = sorted(str(caught.value).splitlines())
    assert [line.partition("=")[0] for line in lines] == [
        "BATCH_SIZE",
        "MAX_CONTENT_LENGTH",
        "TASK_SECONDS",
    ]
    assert [line.endswith(f"from {project / '.env'}") for line in lines] == [
        False,
        True,
        True,
    ]
    check(Sources(), WorkerSettings, BookshelfSettings)


def test_what_is_handed_on_is_what_counts(project: Path) -> None:
    """Of every source, and of nothing but the other program's settings."""
    (project / ".env").write_text(
        "TASK_SECONDS=5\nBATCH_SIZE=6\nOPENAI_API_KEY=k\n", "utf-8"
    )
    found = sources(project, {"BATCH_SIZE": "7", "PATH": "/bin", "MIGRATE_LIMIT": ""})
    found = found.with_options({"MBS2_SERVER": Option("--server", "http://nas:1")})
    assert found.handed_on(WorkerSettings) == {
        "TASK_SECONDS": "5",
        "BATCH_SIZE": "7",
        "MBS2_SERVER": "http://nas:1",
        "READ_ENV_FILES": "0",
    }


def test_one_variable_means_the_same_to_every_program() -> None:
    """What is allowed, its unit, and whether it is a secret."""
    known: dict[str, tuple[str, str, bool]] = {}
    for model in PROGRAMS.values():
        for one in settings_of(model):
            meaning = (one.kind.allowed, one.unit, one.secret)
            assert known.setdefault(one.variable, meaning) == meaning, one.variable


def test_settings_py_has_the_same_defaults() -> None:
    """MyBookshelf2 reads that file, the embedded server and the worker have the model.

    Each has its own number: a container of MyBookshelf2 has nothing of ours but that one
    file, and the model may not import it, because it ends the process on a wrong value."""
    assert BookshelfSettings().max_content_length == of_server.MAX_CONTENT_LENGTH
    assert BookshelfSettings().max_cover_file_size == of_server.MAX_COVER_FILE_SIZE


def test_without_a_server_one_is_started() -> None:
    """The start button tells no server from one that has the default's address."""
    assert StartSettings().server is None
    assert WorkerSettings().server == "http://127.0.0.1:6006"


def test_a_relative_path_is_below_the_folder_of_whoever_named_it(
    tmp_path: Path,
) -> None:
    """The caller's for an option and the environment, the project's in its files; and
    whoever is told of it in another folder is told the whole path."""
    project, caller = tmp_path / "project", tmp_path / "caller"
    project.mkdir()
    (project / ".env").write_text("CALIBRE_LIBRARY=books\nSTATE_DIR=state\n", "utf-8")
    for environment, options, library, state in (
        ({}, {}, project / "books", project / "state"),
        ({"STATE_DIR": "mine"}, {}, project / "books", caller / "mine"),
        (
            {"STATE_DIR": "/var/mine"},
            {"CALIBRE_LIBRARY": Option("--library", "../b", caller)},
            caller / ".." / "b",
            Path("/var/mine"),
        ),
    ):
        found = sources(project, environment, caller).with_options(options)
        values = load(WorkerSettings, found)
        assert (values.library, values.state_dir) == (library, state)
        told = found.handed_on(WorkerSettings)
        assert told["CALIBRE_LIBRARY"] == str(library)
        assert told["STATE_DIR"] == str(state)
