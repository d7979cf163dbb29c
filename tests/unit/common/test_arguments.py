"""What every command line says of what is wrong: one line."""

import argparse
from collections.abc import Callable

import pytest

from auto_monitor.cli import command_line as monitor
from bookshelf import config as bookshelf
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
