"""`./start.sh --state-dir DIR` goes on with the migration that is there."""

from pathlib import Path

import pytest

from common.settings.load import Option, Source, Sources, load
from common.settings.programs import StartSettings
from deploy.host.before import as_before
from tests.support.machine.placekit import NAS, Machine, ledger, shelf
from tests.support.migration.statekit import State

OURS = "http://127.0.0.1:4711"


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    """One without any state."""
    return Machine(tmp_path)


def settings(
    machine: Machine, options: dict[str, str], env: dict[str, str]
) -> StartSettings:
    """What a start is about, given options and a .env, by variable."""
    given = {name: Option(f"--{name}", text) for name, text in options.items()}
    around = Source("the environment", machine.environment)
    found = Sources(around, Source(".env", env), options=given)
    return as_before(load(StartSettings, found), found)


def place(machine: Machine, server: str) -> Path:
    """A state directory in a folder with a blank, whose workers knew the library."""
    mine = ledger(machine.root / "a folder", server=server)
    State(mine).worker(1, library=str(machine.library.root), server=server)
    return mine


def test_library_and_server_are_those_of_the_ledger(machine: Machine) -> None:
    """What is named counts."""
    mine = place(machine, NAS)
    only = {"STATE_DIR": str(mine)}
    found = settings(machine, only, {})
    assert (found.library, found.server) == (machine.library.root, NAS)
    named = settings(machine, {**only, "CALIBRE_LIBRARY": "/other"}, {})
    assert (named.library, named.server) == (Path("/other"), NAS)
    other = settings(machine, {**only, "MBS2_SERVER": "http://other:1"}, {})
    assert other.server == "http://other:1"


def test_an_embedded_server_is_started_whatever_env_names(machine: Machine) -> None:
    """Unless the directory, too, is of the environment: then both are meant."""
    mine = shelf(place(machine, OURS), OURS)
    env = {"MBS2_SERVER": NAS}
    only = {"STATE_DIR": str(mine)}
    assert settings(machine, only, env).server is None
    assert settings(machine, {**only, "MBS2_SERVER": NAS}, {}).server == NAS
    assert settings(machine, {}, {**env, **only}).server == NAS


def test_where_nothing_is_nothing_is_known(machine: Machine, tmp_path: Path) -> None:
    """A new directory, or none that is named."""
    for options in ({}, {"STATE_DIR": str(tmp_path / "new")}):
        found = settings(machine, options, {})
        assert (found.library, found.server) == (None, None)
