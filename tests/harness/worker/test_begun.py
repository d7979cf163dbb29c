"""`--verify` and its like find library, server and login of their migration."""

import json
import os
from pathlib import Path

import psutil
import pytest

from common.clock import birth_of
from common.files.json_files import write_json
from common.json_value import Json
from common.state_dir import option
from migration.state_files.owner import WorkerLock, this_process
from migration.worker.options import Options, read_options
from tests.support.environment import is_a_persons
from tests.support.machine.placekit import NAS, Machine, ledger, shelf
from tests.support.migration.statekit import State

OURS = "http://127.0.0.1:4711"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Machine:
    """One without any state, whose settings are those of nobody; with blanks."""
    folder = tmp_path / "Anna's disk"
    folder.mkdir()
    for name in [name for name in os.environ if is_a_persons(name)]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("READ_ENV_FILES", "1")
    made = Machine(folder)
    monkeypatch.setenv("HOME", made.environment["HOME"])
    return made


def embedded(state_dir: Path, url: str = OURS, *, pid: int | None = None) -> Path:
    """A migration to its embedded server, which runs as this process."""
    shelf(ledger(state_dir, server=url), None)
    runs = os.getpid() if pid is None else pid
    record: dict[str, Json] = {"url": url, "pid": runs, "birth": birth_of(runs)}
    write_json(state_dir / "bookshelf" / "server.json", record)
    login = "username=admin\npassword=of ours\n"
    (state_dir / "bookshelf" / "credentials").write_text(login, "utf-8")
    return state_dir


def read(machine: Machine, *arguments: str) -> Options:
    """The options of a worker in this checkout."""
    return read_options(list(arguments), machine.checkout)


def server(options: Options) -> tuple[str, str, str]:
    """Where it asks, and as whom."""
    return options.server, options.username, options.password


@pytest.mark.parametrize(
    "mode",
    [
        ("--verify",),
        ("--recheck",),
        ("--retry-failed",),
        ("--undo", "1"),
        ("--undo", "1", "--dry-run"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize("named", ["library", "state directory", "nothing"])
def test_the_embedded_server_is_found(
    machine: Machine, mode: tuple[str, ...], named: str
) -> None:
    """By the library, the state directory, or because nothing else is there; what .env
    says of another server reaches nobody."""
    mine = embedded(machine.root / "a folder")
    State(mine).worker(1, library=str(machine.library.root), server=OURS)
    (machine.checkout / ".env").write_text(
        "MBS2_PASSWORD=of another\nMBS2_DB_URI=postgresql://me@nas/x\n"
        "MBS2_WS_URL=ws://nas/ws\nMBS2_USERNAME=me\n"
    )
    words = {
        "library": (str(machine.library.root),),
        "state directory": ("--state-dir", str(mine)),
        "nothing": (),
    }[named]
    options = read(machine, *words, *mode)
    assert server(options) == (OURS, "admin", "of ours")
    assert (options.ws_url, options.db_uri) == ("", "")
    assert (options.state_dir, options.library) == (mine, machine.library.root)
    assert "of ours" not in repr(options)


def test_it_is_found_on_another_port(machine: Machine) -> None:
    """Where it listens now; the ledger follows once it is proved to be the same."""
    mine = embedded(machine.root / "mine")
    place = mine / "bookshelf"
    record = json.loads((place / "server.json").read_text("utf-8"))
    moved: dict[str, Json] = {**record, "url": "http://127.0.0.1:9", "former": [OURS]}
    write_json(place / "server.json", moved)
    options = read(machine, str(machine.library.root), "--verify")
    assert server(options) == ("http://127.0.0.1:9", "admin", "of ours")
    assert (options.state_dir, options.rebind) == (mine, True)
    # An export asks no server, and nothing is proved.
    exported = read(machine, str(machine.library.root), "--export-map", "map.csv")
    assert (exported.state_dir, exported.rebind) == (mine, False)


def test_another_server_in_env_is_not_that_of_a_named_directory(
    machine: Machine,
) -> None:
    """The embedded one of a state directory is its own; --server is taken as it is."""
    mine = embedded(machine.root / "mine")
    (machine.checkout / ".env").write_text(f"MBS2_SERVER={NAS}\nMBS2_PASSWORD=nas's\n")
    words = (str(machine.library.root), "--verify", "--state-dir", str(mine))
    assert server(read(machine, *words)) == (OURS, "admin", "of ours")
    named = read(machine, *words, "--server", NAS)
    assert server(named) == (NAS, "admin", "nas's")


def test_a_login_that_is_given_for_this_server_counts(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A unit names the embedded server and has its login."""
    mine = embedded(machine.root / "mine")
    monkeypatch.setenv("MBS2_SERVER", f"{OURS}/")
    monkeypatch.setenv("MBS2_PASSWORD", "of the unit")
    (mine / "bookshelf" / "credentials").unlink()
    options = read(machine, "--verify", "--state-dir", str(mine), "library")
    assert server(options) == (OURS, "admin", "of the unit")


def test_a_real_server_is_that_of_the_ledger(machine: Machine) -> None:
    """Also of a named state directory, with the login of the environment."""
    mine = ledger(machine.root / "mine", server=NAS)
    (machine.checkout / ".env").write_text("MBS2_PASSWORD=nas's\n")
    for words in (("--state-dir", str(mine)), ()):
        options = read(machine, str(machine.library.root), "--verify", *words)
        assert (options.state_dir, options.server) == (mine, NAS)
        assert options.password == "nas's"


def test_a_server_that_does_not_run_is_told_no_password(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    """Somebody else may listen on its port: exit status 3, and a command to paste."""
    gone = next(pid for pid in range(2, 1 << 22) if not psutil.pid_exists(pid))
    mine = embedded(machine.root / "it's mine", pid=gone)
    with pytest.raises(SystemExit) as ended:
        read(machine, str(machine.library.root), "--verify")
    assert ended.value.code == 3
    said = capsys.readouterr().err
    assert f"the embedded server of {mine} does not run; ./migrate serve" in said
    assert "it'\"'\"'s mine' starts it [embedded-server-stopped]" in said


def test_a_lost_login_is_named(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    """With how to get another; exit status 2."""
    mine = embedded(machine.root / "mine")
    (mine / "bookshelf" / "credentials").unlink()
    with pytest.raises(SystemExit) as ended:
        read(machine, str(machine.library.root), "--verify")
    assert ended.value.code == 2
    assert "credentials, the login of the embedded server, is gone" in (
        capsys.readouterr().err
    )


def test_what_asks_no_server_needs_none(machine: Machine) -> None:
    """`--dry-run` and `--export-map`, when everything is stopped."""
    mine = embedded(machine.root / "mine", pid=1)
    for mode in (("--dry-run",), ("--export-map", "map.csv")):
        options = read(machine, str(machine.library.root), *mode)
        assert (options.state_dir, options.server) == (mine, OURS)


def test_without_a_library_one_that_is_known_is_needed(
    machine: Machine, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """Nothing was migrated, or nobody knows any more from where."""
    for words in ((), ("--state-dir", str(ledger(tmp_path / "mine", server=NAS)))):
        with pytest.raises(SystemExit) as ended:
            read(machine, "--verify", *words)
        assert ended.value.code == 2
        assert "no library given" in capsys.readouterr().err
    # The map needs the ledger alone.
    exported = read(machine, "--export-map", "map.csv", *words)
    assert exported.state_dir == tmp_path / "mine"


def test_several_that_run_are_listed(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    """With a command for each."""
    both = [ledger(machine.root / name, server=NAS) for name in ("one", "the other")]
    held = [WorkerLock(state_dir, this_process(1)) for state_dir in both]
    try:
        with pytest.raises(SystemExit) as ended:
            read(machine, "--verify")
    finally:
        for lock in held:
            lock.release()
    assert ended.value.code == 2
    said = capsys.readouterr().err
    for state_dir in both:
        assert f"./migrate worker --verify {option(state_dir)}" in said
