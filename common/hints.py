"""Commands that people are told to type: one form everywhere, ready to be pasted.

In a checkout they are `./start.sh`, `./stop.sh` and `./migrate COMMAND`, by their full
path when the program was called from another folder; `calibre-to-mbs2 COMMAND` when the
package is installed. Paths are quoted for a shell.
"""

import os
import shlex
from collections.abc import Sequence
from pathlib import Path

from common.state_dir import option

PROJECT = Path(__file__).resolve().parents[1]
#: The folder that start.sh, stop.sh and migrate were called from: they change into the
#: checkout, and what they start runs there.
CALLED_FROM = "CALLED_FROM"
#: How a command is called where neither form is right, such as through `docker exec`.
COMMAND = "MIGRATE_COMMAND"

#: Read at once: what reads the settings takes it out of the environment.
_called_from = os.environ.get(CALLED_FROM, "")

#: Commands with a script of their own in the checkout.
_BUTTONS = {"start": "start.sh", "stop": "stop.sh"}
#: What they are where the others go through Compose; library and server are in its .env.
_COMPOSE = {
    "start": "docker compose up -d",
    "stop": "docker compose stop",
    "dashboard": "docker compose up -d dashboard",
}
_IN_ENV = frozenset({"--library", "--server"})


def hint(name: str, *arguments: str, state_dir: Path | None = None) -> str:
    """Returns a command to paste: `./migrate status --state-dir '/a folder'`."""
    if name in _COMPOSE and os.environ.get(COMMAND, "").startswith("docker compose "):
        return _by_compose(name, arguments)
    words = [_program(name), *map(shlex.quote, arguments)]
    if state_dir is not None:
        words.append(option(state_dir))
    return " ".join(words)


def _by_compose(name: str, arguments: Sequence[str]) -> str:
    left, given = [], iter(arguments)
    for word in given:
        if word in _IN_ENV:
            next(given, None)
        else:
            left.append(word)
    options = f"MIGRATOR_OPTIONS={shlex.quote(shlex.join(left))} " if left else ""
    return f"{options if name == 'start' else ''}{_COMPOSE[name]}"


def _program(name: str) -> str:
    if given := os.environ.get(COMMAND):
        return f"{given} {name}"
    if not (PROJECT / "migrate").is_file():
        return f"calibre-to-mbs2 {name}"
    script, *rest = [_BUTTONS[name]] if name in _BUTTONS else ["migrate", name]
    program = f"./{script}" if _in_checkout() else shlex.quote(str(PROJECT / script))
    return " ".join([program, *rest])


def _in_checkout() -> bool:
    try:
        return Path(_called_from or Path.cwd()).samefile(PROJECT)
    except OSError:
        # The folder is gone.
        return False
