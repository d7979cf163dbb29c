"""A program's start imports what it needs to run, and not what only some of its modes
do."""

import subprocess
import sys

import pytest

from tests.support.environment import PROJECT, clean_environment

#: Dear to import, and needed by few programs, or late.
DEAR = frozenset(
    {
        "PIL",
        "aiohttp",
        "argcomplete",
        "cattrs",
        "dask",
        "distributed",
        "jinja2",
        "langcodes",
        "lxml",
        "openai",
        "psycopg",
        "pycountry",
        "requests",
        "rich",
        "tenacity",
        "tornado",
    }
)
PROGRAMS = {
    "worker": (["bulk_migrate_calibre.py"], {"requests"}),
    "monitor": (["auto_monitor/monitor.py"], {"requests", "cattrs"}),
    "dashboard": (["-m", "dashboard"], {"aiohttp", "cattrs", "jinja2"}),
    "embedded server": (["-m", "bookshelf"], {"PIL", "aiohttp"}),
}


def imported(command: list[str]) -> set[str]:
    """The packages that a program has imported when it has read its command line."""
    done = subprocess.run(
        [sys.executable, "-X", "importtime", *command, "--help"],
        cwd=PROJECT,
        env=clean_environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    lines = [
        line for line in done.stderr.splitlines() if line.startswith("import time:")
    ]
    return {line.rpartition("|")[2].strip().partition(".")[0] for line in lines}


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_start_imports_no_dear_package_without_need(program: str) -> None:
    """Exactly those that it cannot do without."""
    command, needed = PROGRAMS[program]
    assert imported(command) & DEAR == needed
