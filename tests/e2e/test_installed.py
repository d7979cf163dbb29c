"""The package, as somebody has it who ran `pip install .`: no checkout near."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from deploy.cli import SUBCOMMANDS
from migration.ledger import totals
from tests.support.environment import PROJECT, clean_environment
from tests.support.libraries.librarykit import Library, epubs
from tests.support.libraries.truth import look

# The wheel is built and installed once, so all tests run where that was done.
pytestmark = [pytest.mark.e2e, pytest.mark.xdist_group("installed")]
PACKAGES = (
    "auto_monitor",
    "bookshelf",
    "common",
    "dashboard",
    "demo",
    "deploy",
    "migration",
)
#: What a checkout in use holds besides: secrets and state, never to be shipped.
PRIVATE = (
    ".env",
    "auto_monitor/.env",
    "auto_monitor/backups/old.py",
    "demo/state/report/report.html",
    "demo/state/bookshelf/credentials",
    "bookshelf/secrets.json",
    "migration_ledger.db",
    "deploy/.env",
)
SHIPPED = (*(f"{name}/" for name in PACKAGES), "settings.py", "bulk_migrate_calibre.py")
DATA = (
    "bookshelf/web/static/",
    "bookshelf/web/templates/",
    "dashboard/web/static/",
    "dashboard/web/templates/",
    "dashboard/report/report.schema.json",
    "demo/",
    "deploy/prepare_server/prepare_server.sql",
)


@dataclass(frozen=True, slots=True)
class Installed:
    """A wheel, and a fresh virtual environment that has it."""

    wheel: Path
    command: Path
    packages: Path

    def run(
        self, *arguments: str, cwd: Path, **more: str
    ) -> "subprocess.CompletedProcess[str]":
        """Runs `calibre-to-mbs2` where nothing of the checkout is in reach."""
        environment = clean_environment(HOME=str(cwd), **more)
        environment = {k: v for k, v in environment.items() if k != "PYTHONPATH"}
        return subprocess.run(
            [str(self.command), *arguments],
            cwd=cwd,
            env=environment,
            timeout=120,
            capture_output=True,
            text=True,
            check=False,
        )


def tracked() -> list[str]:
    """What git knows of the checkout."""
    names = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=PROJECT,
        check=True,
        timeout=60,
        capture_output=True,
        text=True,
    ).stdout.split("\0")
    return [name for name in names if name and (PROJECT / name).is_file()]


def build(folder: Path) -> Path:
    """The wheel, built from a copy of the checkout that somebody has been using."""
    source = folder / "source"
    for name in (name for name in tracked() if not name.startswith("tests/")):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(PROJECT / name, source / name)
    for name in PRIVATE:
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text("secret")
    pip(sys.executable, "wheel", "--no-build-isolation", "-w", str(folder), str(source))
    return next(folder.glob("*.whl"))


def pip(python: str, *arguments: str) -> None:
    """Runs pip without the network."""
    command = [python, "-m", "pip", "--disable-pip-version-check", *arguments]
    done = subprocess.run(
        [*command, "--no-deps", "--no-index"],
        cwd="/",
        timeout=240,
        check=False,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": ""},
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """The libraries are those of the tests' own environment, so nothing is fetched."""
    folder = tmp_path_factory.mktemp("installed")
    wheel = build(folder)
    fresh = folder / "fresh"
    subprocess.run([sys.executable, "-m", "venv", str(fresh)], check=True, timeout=120)
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    packages = fresh / "lib" / version / "site-packages"
    (packages / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    pip(str(fresh / "bin" / "python"), "install", str(wheel))
    return Installed(wheel, fresh / "bin" / "calibre-to-mbs2", packages)


def test_the_wheel_holds_what_the_programs_read_and_nothing_private(
    installed: Installed,
) -> None:
    """All code, and every tracked file that code reads beside itself."""
    with zipfile.ZipFile(installed.wheel) as wheel:
        names = set(wheel.namelist())
    shipped = {name for name in names if ".dist-info/" not in name}
    ours = {name for name in tracked() if name.startswith(SHIPPED)}
    assert {name for name in ours if name.endswith(".py") or is_read(name)} <= shipped
    assert shipped <= ours
    assert any(name.endswith("licenses/LICENSE") for name in names)


def is_read(name: str) -> bool:
    """Is it data of a program, not a document or a part of a deployment?"""
    return name.startswith(DATA) and not name.endswith("README.md")


@pytest.mark.parametrize("name", SUBCOMMANDS)
def test_each_subcommand_explains_itself(
    installed: Installed, tmp_path: Path, name: str
) -> None:
    """Also where a folder bears the name of a package of ours."""
    for package in PACKAGES:
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("raise SystemExit('not this')")
    done = installed.run(name, "--help", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "usage: " in done.stdout


def test_a_library_is_moved_verified_and_everything_stopped(
    installed: Installed, tmp_path: Path
) -> None:
    """`start`, with the embedded server and the monitor; then `status`, `verify`,
    `stop`."""
    library = Library(tmp_path / "library")
    library.add(*epubs(range(3)))
    state = tmp_path / "state"
    more = {
        "STATE_DIR": str(state),
        "CHECK_INTERVAL_SECONDS": "1",
        "IOSTAT_SECONDS": "1",
    }
    mine = ("--library", str(library.root))
    try:
        done = installed.run("start", *mine, "--foreground", cwd=tmp_path, **more)
        assert done.returncode == 0, done.stdout + done.stderr
        found = totals.read(state / "migration_ledger.db")
        assert found is not None
        assert (found.counts.discovered, found.counts.uploaded) == (3, 3)
        status = installed.run("status", "--json", cwd=tmp_path, **more)
        assert json.loads(status.stdout)["monitor"]["ended"] == "completed"
        verified = installed.run(
            "verify", str(library.root), cwd=tmp_path, **more, **login(state)
        )
        assert verified.returncode == 0, verified.stdout + verified.stderr
    finally:
        stopped = installed.run("stop", cwd=tmp_path, **more)
    assert "embedded server" in stopped.stdout
    truth = look(state / "bookshelf")
    assert (truth.ebooks, truth.ebooks_without_source) == (3, 0)
    assert [path for path in installed.packages.iterdir() if path.is_symlink()] == []


def login(state: Path) -> dict[str, str]:
    """The embedded server's URL and login, as the worker's settings name them."""
    text = (state / "bookshelf" / "credentials").read_text("utf-8")
    named = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)
    record = json.loads((state / "bookshelf" / "server.json").read_text("utf-8"))
    return {
        "MBS2_SERVER": record["url"],
        "MBS2_USERNAME": named["username"],
        "MBS2_PASSWORD": named["password"],
    }
