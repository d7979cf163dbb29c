"""What Compose makes of the lines of `.env`, and what check_env says of them.

The values are those that Compose 2.26 had for these lines."""

import ast
import inspect
from pathlib import Path
from types import ModuleType

import pytest

from common.settings import secret_files
from common.settings.reference import PROGRAMS
from common.settings.secret_files import SECRETS as OF_PROGRAMS
from common.settings.setting import settings_of
from deploy import check_env, env_file, needed
from deploy.check_env import PROFILES, files, remarks
from deploy.env_file import Entry, entries
from deploy.needed import SECRETS, is_given

#: What stands behind the `=`; the value, None when Compose refuses the file; what a
#: password that is written like this is warned of.
LINES = [
    ("plain", "plain", ""),
    ("a b", "a b", ""),
    (" ab ", "ab", ""),
    ("a#b", "a#b", ""),
    ("ab#", "ab#", ""),
    ("#ab", "#ab", ""),
    ("a #b", "a", "is a comment"),
    ("a\tb #c", "a\tb", "is a comment"),
    ("a$", "a$", ""),
    ("a$1b", "a$1b", ""),
    ("a$(b)", "a$(b)", ""),
    ("a$-b", "a$-b", ""),
    ("ab$cd", "ab", "puts a variable in for its $"),
    (r"ab\$cd", "ab\\", "puts a variable in for its $"),
    ("$a$b", "", "puts a variable in for its $"),
    ("ab${HOME_X}cd", "abcd", "puts a variable in for its $"),
    ("${X:-y}", "y", "puts a variable in for its $"),
    ("${KNOWN}", "known", ""),
    ("ab$$cd", "ab$cd", "$$ is one $"),
    ("a${b", None, "refuses the whole file"),
    ("a${}", None, "refuses the whole file"),
    ("a'b", "a'b", ""),
    ('a"b', 'a"b', ""),
    (r"a\nb", r"a\nb", ""),
    ("a!b`c", "a!b`c", ""),
    ("'a$b #c'", "a$b #c", ""),
    ("'a${B}c'", "a${B}c", ""),
    (r"'a\'b'", "a'b", ""),
    ("'ab' # c", "ab", ""),
    ("'ab'#c", "ab", ""),
    ("'ab'c", "ab", "leaves out what follows the closing quote"),
    ("'ab", None, "refuses the whole file"),
    ('"a$b #c"', "a #c", "puts a variable in for its $"),
    ('"a$$b"', "a$b", "$$ is one $"),
    (r'"a\$b"', "a$b", "a backslash between double quotes"),
    (r'"a\"b"', 'a"b', "a backslash between double quotes"),
    (r'"a\nb"', "a\nb", "a backslash between double quotes"),
    (r'"a\\b"', "a\\b", "a backslash between double quotes"),
    ('"ab"c', "ab", "leaves out what follows the closing quote"),
    ('"', None, "refuses the whole file"),
]
AROUND = {"KNOWN": "known"}


def entry(text: str, name: str = "MBS2_PASSWORD") -> Entry:
    """The variable, beside another one that is as it should be."""
    one, other = entries(f"{name}={text}\nNEXT=ok\n", AROUND)
    assert (one.name, one.line, other.value) == (name, 1, "ok")
    return one


@pytest.mark.parametrize(("text", "value", "_said"), LINES)
def test_a_value_is_what_compose_has(text: str, value: str | None, _said: str) -> None:
    """Quotes, blanks, # and $."""
    one = entry(text)
    assert (None if one.broken else one.value) == value


@pytest.mark.parametrize(("text", "_value", "said"), LINES)
def test_a_password_that_is_not_what_it_looks_like(
    text: str, _value: str | None, said: str
) -> None:
    """A sentence with name and line, which never shows the password."""
    lines = list(remarks(entry(text), AROUND))
    assert all(line.startswith("MBS2_PASSWORD (.env, line 1): ") for line in lines)
    assert len(lines) == bool(said)
    assert said in "".join(lines)


def test_other_variables_may_use_variables() -> None:
    """Those that are set; a comment behind a value is one."""
    for text in ("${KNOWN}/Calibre", "'$x'", "/books # mine"):
        assert list(remarks(entry(text, "CALIBRE_LIBRARY"), AROUND)) == []
    [line] = remarks(entry("$NOWHERE/Calibre", "CALIBRE_LIBRARY"), AROUND)
    assert "puts nothing in for $NOWHERE, which is not set" in line


def test_lines_that_are_none_and_earlier_variables() -> None:
    """Comments, blanks, `export`; a variable of the environment comes first."""
    text = "# A=1\n\nexport A=x\nB = ${A}\nKNOWN=mine\nC=$KNOWN$A\nnonsense\n"
    assert [(one.name, one.value) for one in entries(text, AROUND)] == [
        ("A", "x"),
        ("B", "x"),
        ("KNOWN", "mine"),
        ("C", "knownx"),
    ]


def test_a_secret_may_be_in_a_file() -> None:
    """Of nothing else."""
    assert is_given({"MBS2_PASSWORD_FILE": "/x"}, "MBS2_PASSWORD")
    assert not is_given({"MBS2_CODE_FILE": "/x"}, "MBS2_CODE")


#: What the environment says; what is said of it.
OF_FILES = [
    ({"MBS2_PASSWORD_FILE": "good"}, []),
    ({"MBS2_PASSWORD_FILE": " "}, []),
    ({"MBS2_CODE_FILE": "nowhere"}, []),
    (
        {"MBS2_PASSWORD_FILE": "nowhere"},
        ["MBS2_PASSWORD_FILE=nowhere cannot be read: No such file or directory"],
    ),
    ({"MBS2_SECRET_KEY_FILE": "empty"}, ["MBS2_SECRET_KEY_FILE=empty is empty"]),
    (
        {"POSTGRES_PASSWORD_FILE": "two"},
        ["POSTGRES_PASSWORD_FILE=two has more than one line"],
    ),
    (
        {"MBS2_PASSWORD_FILE": "good", "MBS2_PASSWORD": "x"},
        ["MBS2_PASSWORD and MBS2_PASSWORD_FILE are both set"],
    ),
]


@pytest.mark.parametrize(("known", "said"), OF_FILES)
def test_what_is_said_of_files_of_secrets(
    known: dict[str, str],
    said: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Relative paths begin at the project; no secret is shown."""
    monkeypatch.setattr("deploy.check_env.PROJECT", tmp_path)
    (tmp_path / "good").write_text("hush\n", "utf-8")
    (tmp_path / "empty").touch()
    (tmp_path / "two").write_text("hush\nhush\n", "utf-8")
    lines = list(files(known))
    assert len(lines) == len(said)
    assert all(line.startswith(begin) for line, begin in zip(lines, said, strict=True))
    assert "hush" not in "".join(lines)


@pytest.mark.parametrize("module", [check_env, env_file, needed, secret_files])
def test_an_older_python_can_read_it(module: ModuleType) -> None:
    """Python 3.8, whose annotations are no generic types of today."""
    tree = ast.parse(inspect.getsource(module), feature_version=(3, 8))
    known = [node.module for node in tree.body if isinstance(node, ast.ImportFrom)]
    assert "__future__" in known


def test_the_secrets_are_those_of_the_model() -> None:
    """They stand in plain lists, for programs that cannot read the model."""
    secrets = {
        one for model in PROGRAMS.values() for one in settings_of(model) if one.secret
    }
    assert {one.variable for one in secrets} == set(OF_PROGRAMS)
    assert {one.variable for one in secrets if one.container} < set(SECRETS)
    # What prepare_server alone is told, which runs in no container.
    assert {one.variable for one in secrets if not one.container} == {
        "PREPARE_ROLE_PASSWORD"
    }
    [profiles] = settings_of(PROGRAMS["check_env"])[1:]
    assert profiles.kind.allowed.startswith(f"one or more of {', '.join(PROFILES)}")
