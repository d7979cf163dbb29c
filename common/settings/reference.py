"""Generates docs/settings.md and a part of docker-compose.yml from the model."""

import re
from pathlib import Path

from common.settings.monitor import MonitorSettings
from common.settings.programs import (
    BookshelfSettings,
    CheckEnvSettings,
    ContainerSettings,
    DashboardSettings,
    PrepareSettings,
    StartSettings,
)
from common.settings.setting import Setting, settings_of
from common.settings.shared import PROJECT, StateDir
from common.settings.worker import WorkerSettings

#: What docs call each program, and the settings that it has.
PROGRAMS: dict[str, type] = {
    "worker": WorkerSettings,
    "monitor": MonitorSettings,
    "embedded server": BookshelfSettings,
    "dashboard": DashboardSettings,
    "start.sh": StartSettings,
    "stop.sh": StateDir,
    "serve": StateDir,
    "retry": StateDir,
    "container": ContainerSettings,
    "prepare_server": PrepareSettings,
    "check_env": CheckEnvSettings,
}

PAGE = PROJECT / "docs" / "settings.md"
COMPOSE = PROJECT / "docker-compose.yml"

_HEAD = """\
# Settings

Written from the model in `common/settings/` by `python -m common.settings`; do not edit.

Every setting can be given as an option (where it has one), as an environment variable, in
`auto_monitor/.env` or in `.env`. The first of these that says something counts; an empty
text says nothing. The monitor hands the worker's settings on to the workers, and
`docker-compose.yml` hands those of `.env` on to the containers, but for those marked
"not in containers", which have a value of their own there.

A relative path is below the folder that the command is called from; in a `.env` file it is
below the checkout.

A value that is not allowed is one line on standard error, with the name, the value, what is
allowed and where the value comes from; the program ends with status 2. Values of settings
marked "secret" are never shown. Each of these can also stand in a file, as its only line:
`NAME_FILE` names it (`MBS2_PASSWORD_FILE=/run/secrets/mbs2_password`). Both at once are
refused, and so is a file that cannot be read, is empty or has more lines.

Who starts a program decides for it: `start.sh` reads the files and hands on to the monitor,
the dashboard and the embedded server what is theirs, and the monitor does so for the
workers; these do not look for the files again (`READ_ENV_FILES=0`). So what the files say of
another server (`MBS2_…`) never reaches a migration to the embedded one.

The server's own settings, which MyBookshelf2 reads, are in `settings.py` and in
[deployment.md](deployment.md).
"""
_TABLE = """
| name | option | default | allowed | used by | what |
| --- | --- | --- | --- | --- | --- |
"""
_BEGIN = "      # The rest as .env has it (written by `python -m common.settings`)."
_END = "      # (end of what is written)"


def rows() -> list[tuple[str, dict[str, Setting]]]:
    """Returns each variable once, sorted by name, with each program's declaration."""
    found: dict[str, dict[str, Setting]] = {}
    for program, model in PROGRAMS.items():
        for one in settings_of(model):
            found.setdefault(one.variable, {})[program] = one
    return sorted(found.items())


def page() -> str:
    """Returns the text of docs/settings.md."""
    return _HEAD + _TABLE + "".join(_row(*row) for row in rows())


def _row(name: str, programs: dict[str, Setting]) -> str:
    one = next(iter(programs.values()))
    allowed = one.kind.allowed + (f" ({one.unit})" if one.unit else "")
    marks = [
        *(["secret"] if one.secret else []),
        *([] if one.container else ["not in containers"]),
    ]
    what = one.what + (f" ({', '.join(marks)})" if marks else "")
    default = f"`{one.default_text}`" if one.default_text else "none"
    cells = (
        f"`{name}`",
        _options(programs),
        default,
        allowed,
        ", ".join(programs),
        what,
    )
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _options(programs: dict[str, Setting]) -> str:
    """Formats the options that set it, each with its programs."""
    by_option: dict[str, list[str]] = {}
    for program, one in programs.items():
        if one.option:
            by_option.setdefault(one.option, []).append(program)
    return "; ".join(
        f"`{option}` ({', '.join(who)})" for option, who in by_option.items()
    )


def compose(text: str) -> str:
    """Returns docker-compose.yml with the migrator's list of variables updated.

    Variables that the file itself gives the migrator are left out. Raises ValueError
    when there is no place for the list.
    """
    begin, end = text.find(_BEGIN), text.find(_END)
    if not 0 <= begin < end:
        raise ValueError(f"no place for the settings: {_BEGIN.strip()}")
    own = text[text.rindex("    environment:", 0, begin) : begin]
    given = set(re.findall(r"^      ([A-Z_0-9]+):", own, re.MULTILINE))
    names = [
        name
        for name, programs in rows()
        if name not in given and _in_container(programs)
    ]
    listed = "".join(f"      {name}:\n" for name in names)
    return f"{text[:begin]}{_BEGIN}\n{listed}{text[end:]}"


def _in_container(programs: dict[str, Setting]) -> bool:
    return any(one.container for one in programs.values())


def written() -> dict[Path, str]:
    """Returns every generated file with its content."""
    return {PAGE: page(), COMPOSE: compose(COMPOSE.read_text("utf-8"))}
