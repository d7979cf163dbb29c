"""Documentation that cannot drift: reasons, exit statuses, options."""

import re
from pathlib import Path

import pytest

from auto_monitor import config
from auto_monitor.cli import command_line as monitor_line
from migration import errors
from migration.errors import ExitCode, Fatal, MigrationError
from migration.worker.options import build_parser, read_options
from tests.support.environment import PROJECT


def leaves(root: type[MigrationError]) -> list[type[MigrationError]]:
    """The classes without subclasses below one."""
    below = root.__subclasses__()
    return [leaf for child in below for leaf in leaves(child)] if below else [root]


@pytest.mark.parametrize(
    "leaf",
    [leaf for leaf in leaves(MigrationError) if leaf.__module__ == errors.__name__],
    ids=lambda leaf: leaf.__name__,
)
def test_every_error_says_what_it_means_and_is_drawn(
    leaf: type[MigrationError],
) -> None:
    """A docstring each, and a place in the tree of the module's docstring."""
    assert leaf.__doc__
    assert leaf.__name__ in (errors.__doc__ or "")


def test_every_fatal_error_has_an_exit_status() -> None:
    """2, 3, 4, 5, 7 or 70."""
    assert {leaf.exit_code for leaf in leaves(Fatal) if issubclass(leaf, Fatal)} <= set(
        ExitCode
    )


@pytest.mark.parametrize("code", list(ExitCode), ids=lambda code: code.name)
def test_exit_statuses_are_in_the_readme_and_in_the_help(code: ExitCode) -> None:
    """The numbers people script against."""
    readme = (PROJECT / "README.md").read_text("utf-8")
    assert re.search(rf"\b{int(code)}\b", readme[readme.index("exit status") :])
    assert re.search(
        rf"\b{int(code)}\b", build_parser().format_help().split("exit status:")[1]
    )


def test_every_option_has_help_with_default_and_environment() -> None:
    """`[default: …; environment: …]`, or no default; switches need only their
    sentence."""
    for action in build_parser()._actions:
        assert action.help
        if action.nargs != 0:
            assert re.search(
                r"\[(default: .+|no default); environment: ([A-Z_0-9]+|none)\]$",
                action.help,
            ), action.dest


def test_every_option_of_the_monitor_has_help_with_default_and_environment() -> None:
    """The same for `auto_monitor/monitor.py`."""
    for action in monitor_line.build_parser()._actions:
        assert action.help
        if action.nargs != 0:
            assert re.search(
                r"\[(default: .+|no default); environment: .+\]$", action.help
            ), action.dest


def test_every_setting_of_the_monitor_is_explained() -> None:
    """By its name, in docs/settings.md, as one that the monitor uses."""
    page = (PROJECT / "docs" / "settings.md").read_text("utf-8")
    rows = [line.split(" | ") for line in page.splitlines() if line.startswith("| `")]
    explained = {cells[0].strip("| `") for cells in rows if "monitor" in cells[4]}
    names = [
        name
        for name in vars(config)
        if name.isupper() and name[0] != "_" and name not in ("PROJECT", "GIVEN")
    ]
    assert len(names) > 20
    assert [name for name in names if name not in explained] == []


def test_options_come_from_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As far as the command line says nothing."""
    monkeypatch.setenv("PARALLEL_UPLOADS", "7")
    monkeypatch.setenv("MBS2_SERVER", "http://x:1")
    given = read_options(["lib", "--state-dir", str(tmp_path)], tmp_path)
    assert (given.parallel_uploads, given.server) == (7, "http://x:1")


@pytest.mark.parametrize(
    "arguments",
    [
        ["lib", "--parallel-uploads", "0"],
        ["lib", "--parallel-uploads", "11"],
        ["lib", "--batch-size", "x"],
        ["lib", "--limit", "-1"],
        ["lib", "--worker-id", "0"],
        ["lib", "--rate", "inf"],
        ["lib", "--dry-run", "--retry-failed"],
        ["lib", "--pass", "x"],
        ["lib", "--cluster", "http://scheduler:8786"],
        ["lib", "--cluster", "local:0"],
    ],
    ids=" ".join,
)
def test_wrong_usage_ends_with_2(
    arguments: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And says which option is wrong."""
    with pytest.raises(SystemExit) as ended:
        read_options(arguments, tmp_path)
    assert ended.value.code == 2
    said = capsys.readouterr().err
    assert said.count("\n") == 1
    assert arguments[1] in said
