"""Command-line options from the model.

The parser knows their names and help texts, the loader parses their values.
"""

import argparse
import os
import sys
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NoReturn, TypeVar

from common.errors import told
from common.exit_status import ExitCode
from common.hints import CALLED_FROM
from common.settings import kinds
from common.settings.load import Option, Sources, WrongSetting, load, sources
from common.settings.setting import Setting, settings_of
from common.settings.shared import PROJECT

T = TypeVar("T")
M = TypeVar("M")


def add_options(
    parser: argparse.ArgumentParser, model: type, *, without: Collection[str] = ()
) -> None:
    """Adds the model's options, except those of the fields in `without`.

    Values stay text: only the loader parses them, wherever they come from.
    """
    for one in settings_of(model):
        if one.option and one.field not in without:
            _add(parser, one)


def _add(parser: argparse.ArgumentParser, one: Setting) -> None:
    if not one.option.startswith("-"):
        parser.add_argument(
            one.field, nargs="?", default=None, metavar=one.option, help=one.help
        )
    elif one.repeats:
        parser.add_argument(
            one.option,
            dest=one.field,
            default=None,
            action="append",
            type=_said,
            metavar=one.metavar,
            help=one.help,
        )
    elif one.metavar:
        parser.add_argument(
            one.option, dest=one.field, default=None, metavar=one.metavar, help=one.help
        )
    else:
        parser.add_argument(
            one.option,
            dest=one.field,
            default=None,
            action="store_const",
            const="1",
            help=one.help,
        )


def _said(text: str) -> str:
    """Refuses an empty text: a selection of nothing must not become one of all."""
    if not text.strip():
        raise argparse.ArgumentTypeError("an empty text selects nothing")
    return text


def options_of(
    given: argparse.Namespace, model: type, folder: Path | None = None
) -> dict[str, Option]:
    """Returns what the command line gives, by variable; paths are below `folder`."""
    found = {}
    for one in settings_of(model):
        text = getattr(given, one.field, None)
        if isinstance(text, list):
            text = kinds.joined(text)
        if isinstance(text, str):
            found[one.variable] = Option(one.option or f"--{one.field}", text, folder)
    return found


def read_settings(
    given: argparse.Namespace, model: type[M], project: Path = PROJECT
) -> tuple[M, Sources]:
    """The settings of a program, and where they are from.

    Relative paths on the command line and in the environment are those of the folder
    that the caller is in. Ends the process with a line for each wrong one, and 2.
    """

    called_from = os.environ.get(CALLED_FROM, "")
    folder = Path(called_from) if called_from else None

    def read() -> tuple[M, Sources]:
        options = options_of(given, model, folder)
        found = sources(project, os.environ, folder).with_options(options)
        return load(model, found), found

    return or_exit(read)


def or_exit(work: Callable[[], T]) -> T:
    """Returns what `work` returns.

    On wrong settings, exits with status 2 and a line for each.
    """
    try:
        return work()
    except WrongSetting as error:
        exit_with(error)


def exit_with(error: WrongSetting) -> NoReturn:
    """Prints what is wrong and exits with status 2."""
    sys.stderr.write(f"{told(error)}\n")
    raise SystemExit(int(ExitCode.USAGE)) from error
