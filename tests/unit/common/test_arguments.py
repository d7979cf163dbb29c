"""What every command line says: one line of what is wrong, and help that can be read."""

import argparse
from collections.abc import Callable
from textwrap import fill

import pytest

from auto_monitor.cli import command_line as monitor
from bookshelf import config as bookshelf
from common.arguments import Help, Parser
from common.hints import hint
from dashboard import config as dashboard
from deploy import serve, stop
from deploy.host import command_line as start
from migration.commands import retry
from migration.worker import options as worker

PARSERS: dict[str, Callable[[], argparse.ArgumentParser]] = {
    "start": start.build_parser,
    "stop": stop.build_parser,
    "serve": serve.build_parser,
    "worker": worker.build_parser,
    "monitor": monitor.build_parser,
    "dashboard": dashboard.build_parser,
    "server": bookshelf.build_parser,
    "reopen": retry.build_parser,
}


@pytest.mark.parametrize("name", PARSERS)
def test_a_misspelt_option_is_one_line(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """No screen of options before it, and the command that explains them."""
    with pytest.raises(SystemExit) as ended:
        PARSERS[name]().parse_args(["--no-such-option"])
    said = capsys.readouterr()
    assert ended.value.code == 2
    assert said.err == (
        "unrecognized arguments: --no-such-option "
        f"({hint(name, '--help')} explains the options)\n"
    )
    assert said.out == ""


@pytest.mark.parametrize("name", PARSERS)
def test_help_fits_a_terminal(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 80 columns, but for examples, which are to be pasted; no screen of options
    before what the program is for."""
    monkeypatch.setenv("COLUMNS", "80")
    lines = PARSERS[name]().format_help().splitlines()
    assert [line for line in lines if line[:1] != " " and len(line) > 80] == []
    assert lines.index("") <= 5
    # A switch takes no value.
    assert not [line for line in lines if line.strip().startswith("1: ")]


def test_paragraphs_are_filled_and_examples_kept(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A paragraph may be broken anywhere in the source."""
    epilog = f"one {'word ' * 20}and\ntwo\n\nexamples:\n  {'./start.sh ' * 9}\n"
    monkeypatch.setenv("COLUMNS", "80")
    shown = Parser("x", epilog=epilog, formatter_class=Help).format_help()
    wanted = [
        fill(f"one {'word ' * 20}and two", 78),
        "",
        "examples:",
        f"  {'./start.sh ' * 9}".rstrip(),
    ]
    assert [line.rstrip() for line in shown.splitlines()[-5:]] == "\n".join(
        wanted
    ).splitlines()
