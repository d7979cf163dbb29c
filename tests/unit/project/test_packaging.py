"""What `pip install .` promises: the command, the libraries, the licence."""

import sys
import tomllib
from pathlib import Path

import pytest

from deploy import cli
from tests.support.environment import PROJECT

PACKAGE = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))["project"]


def requirements(file: str) -> list[str]:
    """What a requirements file itself names, without comments and includes."""
    text = (PROJECT / file).read_text("utf-8")
    lines = (line.partition("#")[0].strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith("-r")]


def test_the_extra_for_clusters_is_the_requirements_file() -> None:
    """No list in pyproject.toml can include a file that includes another."""
    extras = PACKAGE["optional-dependencies"]
    assert extras == {"cluster": requirements("requirements-cluster.txt")}


def test_the_licence_is_named_and_there() -> None:
    """Ours, and that of the script the dashboard ships."""
    assert PACKAGE["license"] == "MIT"
    files = [(PROJECT / name).read_text("utf-8") for name in PACKAGE["license-files"]]
    assert files[0].startswith("MIT License\n")
    assert all("Permission is hereby granted, free of charge" in text for text in files)


@pytest.mark.parametrize(("name", "target"), cli.SUBCOMMANDS.items())
def test_a_subcommand_is_a_program_of_ours(
    name: str, target: tuple[str, tuple[str, ...]]
) -> None:
    """Its script or module exists, and what follows the name is handed on."""
    _, start = target
    given = cli.command_line([name, "--state-dir", "a b"])
    assert given == [sys.executable, *start, "--state-dir", "a b"]
    if start[:2] == ("-P", "-m"):
        path = PROJECT.joinpath(*start[2].split("."))
        assert (path / "__main__.py").is_file() or path.with_suffix(".py").is_file()
    else:
        assert Path(start[0]).is_file()


@pytest.mark.parametrize("name", cli.SUBCOMMANDS)
def test_a_subcommand_explains_itself(name: str) -> None:
    """Its own option would take --help for its value."""
    for word in ("-h", "--help"):
        given = cli.command_line([name, word])
        assert given is not None
        assert given[-1] == word
        assert [text for text in given if text.startswith("--")] in ([], ["--help"])


@pytest.mark.parametrize(
    ("given", "status", "said"),
    [
        ([], 2, "migrate COMMAND [options]"),
        (["--help"], 0, "migrate COMMAND [options]"),
    ],
    ids=["nothing", "help"],
)
def test_without_a_command_the_commands_are_listed(
    given: list[str],
    status: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With the status of wrong usage, unless that was asked for."""
    monkeypatch.setattr(sys, "argv", ["calibre-to-mbs2", *given])
    assert cli.main() == status
    shown = "".join(capsys.readouterr())
    assert said in shown
    assert all(f"\n  {name} " in shown for name in cli.SUBCOMMANDS)
    assert f"\n  {PROJECT}/auto_monitor/.env\n  {PROJECT}/.env\n" in shown


@pytest.mark.parametrize(
    ("given", "meant"),
    [("nonsense", ""), ("verfy", "; did you mean verify?"), ("Status", "status?")],
)
def test_an_unknown_command_is_one_line(
    given: str,
    meant: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With one like it, if there is one, and what lists them all; status 2."""
    monkeypatch.setattr(sys, "argv", ["calibre-to-mbs2", given])
    assert cli.main() == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"{given!r} is not a command")
    assert meant in line
    assert line.endswith("--help lists them)")
