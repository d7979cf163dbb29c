"""Every setting of every program works from every source: derived from the model."""

import argparse
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from auto_monitor.cli import command_line as monitor
from bookshelf import config as bookshelf
from common.settings.command_line import options_of
from common.settings.load import load, sources
from common.settings.reference import PROGRAMS
from common.settings.setting import Setting, settings_of
from dashboard import config as dashboard
from deploy import check_env, serve, stop
from deploy.host import command_line as start
from deploy.migrator import container
from deploy.prepare_server import command as prepare_server
from migration.commands import retry
from migration.worker import options as worker
from tests.support.environment import PROJECT

#: How each program reads its command line.
ARGUMENTS: dict[str, Callable[[Sequence[str]], argparse.Namespace]] = {
    "worker": worker.build_parser().parse_args,
    "monitor": monitor.build_parser().parse_args,
    "embedded server": bookshelf.build_parser().parse_args,
    "dashboard": dashboard.build_parser().parse_args,
    "start.sh": start.build_parser().parse_args,
    "stop.sh": stop.build_parser().parse_args,
    "serve": serve.build_parser().parse_args,
    "retry": retry.build_parser().parse_args,
    "container": container.build_parser().parse_args,
    "prepare_server": prepare_server.build_parser().parse_args,
    "check_env": check_env.read_arguments,
}
FILES = ("auto_monitor/.env", ".env")
#: Every program with each of its settings; READ_ENV_FILES says whether files count.
SETTINGS = [
    (program, one)
    for program, model in PROGRAMS.items()
    for one in settings_of(model)
    if one.variable != "READ_ENV_FILES"
]
OPTIONS = [(program, one) for program, one in SETTINGS if one.option]
#: A text other than the default for each kind of value, by what is allowed.
OTHER = {
    "1 or 0": ("1", "0"),
    "text or json": ("json",),
    "all, off, auto, or a percentage such as 1%": ("off",),
    "calibre or server": ("calibre",),
    "on or off": ("off",),
    "auto or api or direct": ("api",),
    "keep or resize": ("keep",),
    "WIDTHxHEIGHT in pixels, such as 320x452": ("7x9",),
    "auto or require": ("require",),
    "no, always, unless-stopped, on-failure or on-failure:N": ("unless-stopped",),
    "none, or tags, comments and #columns between commas": ("none",),
    "idle, or best-effort:0 to best-effort:7": ("idle",),
}
#: What no kind of setting allows in an environment or a file of sane size.
WRONG = "x" * 5000
PLAIN = (
    "3",
    "0.5",
    "5",
    "7m",
    "http://nas:1",
    "ws://nas:1/ws",
    "local:3",
    "word",
    "epub",
    "embedded",
)


def _name(part: str | Setting) -> str:
    return part.variable if isinstance(part, Setting) else part


def other_text(one: Setting) -> str:
    """A text that means another value than the default."""

    def read_or_default(text: str) -> object:
        try:
            return one.kind.read(text)
        except ValueError:
            return one.default

    texts = OTHER.get(one.kind.allowed, PLAIN)
    return next(text for text in texts if read_or_default(text) != one.default)


def test_every_program_has_its_command_line_here() -> None:
    """A program that is added is tested as well."""
    assert ARGUMENTS.keys() == PROGRAMS.keys()


@pytest.mark.parametrize(("program", "one"), SETTINGS, ids=_name)
def test_a_setting_counts_from_each_source(
    program: str, one: Setting, tmp_path: Path
) -> None:
    """A value that is not the default arrives from either file and the environment, and
    what the later sources say does not count."""
    text = other_text(one)
    (tmp_path / "auto_monitor").mkdir()
    environment: dict[str, str] = {}
    for source in (*reversed(FILES), "environment"):
        if source == "environment":
            environment[one.variable] = text
        else:
            (tmp_path / source).write_text(f"{one.variable}='{text}'\n", "utf-8")
        values: object = load(PROGRAMS[program], sources(tmp_path, environment))
        meant = one.kind.read(text)
        if source in FILES and isinstance(meant, Path):
            # What a file calls `books` is beside it, wherever the program is called.
            meant = tmp_path / meant
        assert getattr(values, one.field) == meant != one.default, source
        if source in FILES:
            (tmp_path / source).write_text(f"{one.variable}='{WRONG}'\n", "utf-8")


@pytest.mark.parametrize(("program", "one"), OPTIONS, ids=_name)
def test_an_option_counts_more_than_every_other_source(
    program: str, one: Setting, tmp_path: Path
) -> None:
    """As the program itself reads its command line."""
    text, model = other_text(one), PROGRAMS[program]
    if not one.option.startswith("-"):
        words = [text]
    elif one.metavar:
        words = [one.option, text]
    else:
        words = [one.option]
    options = options_of(ARGUMENTS[program](words), model)
    found = sources(tmp_path, {one.variable: WRONG}).with_options(options)
    assert getattr(load(model, found), one.field) == one.kind.read(text) != one.default
    assert found.find(one.variable) == (text, f"option {one.option}")


def test_nobody_else_reads_settings_from_the_environment() -> None:
    """One loader; settings.py is MyBookshelf2's, and stands for itself."""
    ours = {one.variable for model in PROGRAMS.values() for one in settings_of(model)}
    folders = ("auto_monitor", "bookshelf", "common", "dashboard", "demo", "deploy")
    paths = [
        PROJECT / "bulk_migrate_calibre.py",
        *(path for name in folders for path in (PROJECT / name).rglob("*.py")),
        *(PROJECT / "migration").rglob("*.py"),
    ]
    by_hand = re.compile(
        r"(?:\.get\(|getenv\(|\w\[)\s*\"([A-Z][A-Z0-9_]+)\"(?!\]\s*=[^=])"
    )
    read = {
        (path.name, name)
        for path in paths
        for name in by_hand.findall(path.read_text("utf-8"))
    }
    assert {name for _, name in read} >= {"HOME", "XDG_STATE_HOME"}
    assert [place for place in sorted(read) if place[1] in ours] == []
