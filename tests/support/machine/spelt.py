"""Whether a command that a document prints could be typed: read by the parsers of the
programs themselves, which are not started."""

import argparse
import contextlib
import importlib.util
import io
import re
import shlex
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from auto_monitor.cli import command_line as monitor
from bookshelf import config as bookshelf
from dashboard import config as dashboard
from deploy import check_env, cli, serve, stop
from deploy.host import command_line as start
from deploy.migrator import serve as kept
from deploy.prepare_server import command as prepare
from migration.commands import retry
from migration.worker import options as worker
from tests.support.environment import PROJECT

Build = Callable[[], argparse.ArgumentParser]
#: The parsers by what Python is given to start them.
PARSERS: Mapping[str, Build] = {
    "bulk_migrate_calibre.py": worker.build_parser,
    "auto_monitor/monitor.py": monitor.build_parser,
    "bookshelf": bookshelf.build_parser,
    "dashboard": dashboard.build_parser,
    "deploy.begin": start.build_parser,
    "deploy.launch": start.build_parser,
    "deploy.check_env": check_env.build_parser,
    "deploy.migrator.serve": kept.build_parser,
    "deploy.prepare_server": prepare.build_parser,
    "deploy.serve": serve.build_parser,
    "deploy.stop": stop.build_parser,
    "migration.commands.retry": retry.build_parser,
}
#: What stands for a value, with one.
VALUES = {"N": "1", "PASS": "1", "BOOK:FORMAT": "1:EPUB", "URL": "http://nas:6006"}
_SCRIPTS = {"./start.sh": "deploy.begin", "./stop.sh": "deploy.stop"}
_PYTHON = re.compile(r"(.*/)?python(3(\.\d+)?)?")
_COMPOSED = ("docker-compose.yml", "deploy/cluster.compose.yml")
#: Options of its `run` and `exec` that take one.
_OF_RUN = ("-e", "-u", "-v")
#: Options of `docker compose` that take a value.
_OF_COMPOSE = ("-f", "-p", "--profile", "--project-directory")


def objections(command: str) -> Iterator[str]:
    """Says what of a command would not be understood; nothing of foreign programs."""
    plain = re.sub(r"[\[\]…]|\s#( .*)?$", " ", command)
    lexer = shlex.shlex(plain, posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    words: list[str] = []
    for word in [*lexer, "&&"]:
        if set(word) <= set("&|;()"):
            yield from _of_one(words)
            words = []
        else:
            words.append(word)


def _of_one(words: list[str]) -> Iterator[str]:
    while words and re.match(r"[A-Z][A-Z0-9_]*=", words[0]):
        words.pop(0)
    name, *rest = words or [""]
    if name in _SCRIPTS:
        yield from _parsed(_SCRIPTS[name], rest)
    elif name in ("./migrate", "calibre-to-mbs2"):
        yield from _subcommand(rest)
    elif _PYTHON.fullmatch(name):
        yield from _python(rest)
    elif words[:2] == ["docker", "compose"]:
        yield from _compose(words[2:])
    elif name.startswith("./") and not (PROJECT / name).is_file():
        yield f"there is no {name}"


def _subcommand(words: list[str]) -> Iterator[str]:
    if words[:1] in ([], ["COMMAND"], ["--help"]):
        return
    line = cli.command_line(words)
    if line is None:
        yield f"there is no subcommand {words[0]}"
    elif len(words) > 1:
        yield from _python(line[1:])


def _python(words: list[str]) -> Iterator[str]:
    words = [word for word in words if word != "-P"]
    if words[:1] == ["-m"] and len(words) > 1:
        yield from _module(words[1], words[2:])
    elif words and words[0].endswith(".py"):
        path = words[0].removeprefix(f"{PROJECT}/")
        if path in PARSERS:
            yield from _parsed(path, words[1:])


def _module(name: str, words: list[str]) -> Iterator[str]:
    if name in PARSERS:
        yield from _parsed(name, words)
    elif name == "deploy.cli":
        yield from _subcommand(words)
    elif (PROJECT / name.partition(".")[0]).is_dir():
        found = importlib.util.find_spec(name)
        if found is None or found.origin is None:
            yield f"there is no module {name}"
            return
        text = Path(found.origin).read_text("utf-8")
        yield from (
            f"{name} has no {word}"
            for word in words
            if word.startswith("--") and f'"{word}"' not in text
        )


def _parsed(name: str, words: list[str]) -> Iterator[str]:
    given = [VALUES.get(word, word) for word in words if word not in ("--help", "-h")]
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            PARSERS[name]().parse_args(given)
    except SystemExit:
        yield said.getvalue().strip()


def _compose(words: list[str]) -> Iterator[str]:
    known = services()
    profiles = {one for its in known.values() for one in its.get("profiles", ())}
    given = iter(words)
    for word in given:
        value = next(given, "") if word in _OF_COMPOSE else ""
        if word == "--profile" and value not in {*profiles, "*"}:
            yield f"there is no profile {value}"
        if word == "-f" and not (PROJECT / value).is_file():
            yield f"there is no {value}"
        if not word.startswith("-") and not value:
            yield from _of_services(word, list(given), known)


def _of_services(
    verb: str, words: list[str], known: Mapping[str, Any]
) -> Iterator[str]:
    if verb in ("exec", "run"):
        words = [
            word
            for before, word in zip(["", *words], words, strict=False)
            if before not in _OF_RUN
        ]
    names = [word for word in words if not word.startswith(("-", ".", "/"))]
    if verb in ("exec", "run"):
        names, inside = names[:1], words[words.index(names[0]) + 1 :] if names else []
        yield from _of_one(inside)
    elif verb == "cp":
        names = [name.partition(":")[0] for name in names if ":" in name]
    elif verb not in ("logs", "ps", "stop", "start", "up", "build"):
        return
    yield from (f"there is no service {name}" for name in names if name not in known)


@cache
def services() -> dict[str, dict[str, Any]]:
    """Those of our Compose files."""
    found: dict[str, dict[str, Any]] = {}
    for name in _COMPOSED:
        found |= yaml.safe_load((PROJECT / name).read_text("utf-8"))["services"]
    return found


def options() -> set[str]:
    """Every option of a program or script of ours."""
    parsers = (build() for build in PARSERS.values())
    found = {
        text
        for parser in parsers
        for action in parser._actions
        for text in action.option_strings
    }
    sources = (
        path
        for place in ("benchmarks/**/*.py", "deploy/**/*", "common/**/__main__.py")
        for path in PROJECT.glob(place)
        if path.suffix in (".py", ".sh", "")
    )
    scripts = [*sources, PROJECT / "run_tests.sh"]
    for path in filter(Path.is_file, scripts):
        found.update(re.findall(r"--[a-z][a-z0-9-]*", path.read_text("utf-8")))
    return found
