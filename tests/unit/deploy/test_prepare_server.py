"""The SQL file of prepare_server: its list of languages, and how it is taken apart."""

import re
import subprocess
import sys

import pytest

from bookshelf.storage.vocabulary import languages
from deploy.prepare_server.command import SCRIPT, Statement, build_parser, statements
from deploy.prepare_server.language_sql import SQL, with_languages
from migration.server.direct import schema
from tests.support.environment import PROJECT, clean_environment


def test_the_list_is_what_pycountry_says() -> None:
    """`--check` says so, and the file holds every language as the embedded server names
    it."""
    done = subprocess.run(
        [sys.executable, "-m", "deploy.prepare_server.language_sql", "--check"],
        cwd=PROJECT,
        env=clean_environment(),
        timeout=60,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    lines = SQL.read_text("utf-8").splitlines()
    for _number, code, name in languages():
        assert f"{code} {name}" in lines


def test_a_stale_list_is_seen_and_written_anew() -> None:
    """Whatever is missing, too much or another: the result is the same, and nothing
    around it changes."""
    text = SQL.read_text("utf-8")
    assert with_languages(text) == text
    assert (
        with_languages(text.replace("de German\n", "de Deutsch\nxx Nonsense\n")) == text
    )


def test_the_languages_fit_the_server() -> None:
    """Two letters; names of at most 64 characters on one line, without what quoting in
    the file could end on."""
    for _number, code, name in languages():
        assert re.fullmatch("[a-z]{2}", code)
        assert 0 < len(name) <= 64
        assert "$" not in name
        assert name == " ".join(name.split())


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("", []),
        (
            "-- a comment;\n\\set X on\nSELECT 1;\n",
            [Statement("SELECT 1;", asks=False)],
        ),
        (
            "SELECT 1,\n    2;\nSELECT 3;",
            [Statement("SELECT 1,\n    2;", False), Statement("SELECT 3;", False)],
        ),
        (
            "SELECT 'x'\n\\gexec\nSELECT 4",
            [Statement("SELECT 'x'", asks=True), Statement("SELECT 4", False)],
        ),
        (
            "DO $$\n-- inside;\nBEGIN a;\n\\gexec\nEND\n$$;\n",
            [Statement("DO $$\n-- inside;\nBEGIN a;\n\\gexec\nEND\n$$;", asks=False)],
        ),
        ("SET a = $l$\nx;\n\n$l$;", [Statement("SET a = $l$\nx;\n\n$l$;", asks=False)]),
        (
            "DO $$ x; $$;\nSELECT 1;",
            [Statement("DO $$ x; $$;", asks=False), Statement("SELECT 1;", asks=False)],
        ),
    ],
    ids=[
        "nothing",
        "comments",
        "several",
        "a question",
        "a block",
        "a list",
        "a block on one line",
    ],
)
def test_a_script_is_taken_apart_as_psql_does_it(
    script: str, expected: list[Statement]
) -> None:
    """Into statements, those whose answer is run marked."""
    assert list(statements(script)) == expected


def test_the_role_gets_the_rights_that_the_lane_looks_for() -> None:
    """All of them, and the genres' other names, which a worker reads."""
    _, _, rest = SCRIPT.read_text("utf-8").partition("$rights$\n")
    lines, _, _ = rest.partition("$rights$;")
    granted = {
        table: tuple(rights) for table, *rights in map(str.split, lines.splitlines())
    }
    assert granted == {**schema.RIGHTS, "synonym": ("SELECT",)}
    assert str(list(schema.USER_COLUMNS)) in SCRIPT.read_text("utf-8")


def test_only_answers_change_anything() -> None:
    """The file's own statements set, ask and look: a dry run may run all of them."""
    found = list(statements(SCRIPT.read_text("utf-8")))
    assert [statement.asks for statement in found].count(True) == 3
    assert {statement.sql.split()[0] for statement in found} == {"SET", "DO", "WITH"}
    for statement in found:
        assert re.match(r"\s*WITH .* (?:INSERT|UPDATE|DELETE)", statement.sql) is None


def test_every_option_has_help_with_default_and_environment() -> None:
    """And the help says where the password belongs."""
    for action in build_parser()._actions:
        assert action.help
        if action.nargs != 0:
            assert re.search(
                r"\[(default: .+|no default); environment: ([A-Z_0-9]+|none)\]$",
                action.help,
            ), action.dest
    assert "everybody on this machine can read a command line" in " ".join(
        build_parser().format_help().split()
    )
