"""The whole system in containers, on a real engine: embedded server, monitor,
workers."""

import json
import re
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from common.settings.reference import PROGRAMS
from common.settings.setting import settings_of
from migration.confinement import kernel
from tests.support.environment import PASSWORD, PROJECT
from tests.support.libraries.librarykit import Library, epubs
from tests.support.machine import bootedkit, probes
from tests.support.machine.dockerkit import (
    BASE_IMAGE,
    Docker,
    Stack,
    certificates,
    engine,
    free_port,
)
from tests.support.migration.workerkit import wait_for
from tests.support.monitor.editkit import as_strings
from tests.support.monitor.quickshop import NEW, OLD

pytestmark = [
    pytest.mark.e2e,
    pytest.mark.timeout(1500),
    pytest.mark.xdist_group("networks"),
    pytest.mark.slow,
]
#: Enough that everything can be stopped in the middle, one by one.
BOOKS = 240
IMAGE_MEGABYTES = 250
#: What happens while it runs; a container that was stopped or killed is then started
#: again.
UPSETS = [
    ("stop", "bookshelf"),
    ("stop", "migrator"),
    ("kill", "a worker"),
    ("kill", "migrator"),
    ("kill", "bookshelf"),
]


@pytest.fixture(scope="module")
def docker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Docker]:
    """The engine of these tests."""
    with engine(tmp_path_factory.mktemp("docker")) as found:
        yield found


@pytest.fixture(scope="module")
def built(docker: Docker) -> Iterator[dict[str, str]]:
    """The image, built by Compose; the settings that name it."""
    tag = f"test-{uuid.uuid4().hex[:8]}"
    settings = {
        "MIGRATOR_TAG": tag,
        "REVISION": tag,
        "CALIBRE_LIBRARY": str(PROJECT / "demo" / "library"),
        "MBS2_PASSWORD": PASSWORD,
        "BOOKSHELF_PORT_ON_HOST": str(free_port()),
        "DASHBOARD_PORT_ON_HOST": str(free_port()),
        **certificates(),
    }
    Stack(docker, tag, settings).compose("build", "--quiet", "migrator-image")
    yield settings
    docker.run("image", "rm", f"calibre-migrator:{tag}", check=False)


@pytest.fixture
def stack(docker: Docker, built: dict[str, str], tmp_path: Path) -> Iterator[Stack]:
    """A project of its own; containers, networks and volumes go with it."""
    made = Stack(
        docker, f"test{uuid.uuid4().hex[:8]}", dict(built), [tmp_path / "more.yml"]
    )
    more = {
        "services": {
            "bookshelf": {
                "command": "python -m bookshelf --data-dir /data --host 0.0.0.0 --port 6006"
            }
        }
    }
    (tmp_path / "more.yml").write_text(json.dumps(more))
    yield made
    made.compose("down", "--volumes", "--timeout", "5", check=False)


def test_a_complete_migration_in_containers(
    stack: Stack, built: dict[str, str]
) -> None:
    """`up` ends with 0 when everything is accounted for; nobody is root, nothing but
    state and data can be written."""
    done = stack.compose("up", "--exit-code-from", "migrator")
    said = done.stdout + done.stderr
    expected = json.loads((PROJECT / "demo" / "expected.json").read_text("utf-8"))[
        "first_run"
    ]
    assert (
        f"discovered {expected['discovered']} = uploaded {expected['uploaded']} + "
        f"duplicate {expected['duplicate']}"
    ) in said, said
    assert "proved row by row" in said
    sizes = [
        int(stack.docker.run("image", "inspect", "-f", "{{.Size}}", name).stdout)
        for name in (f"calibre-migrator:{built['MIGRATOR_TAG']}", BASE_IMAGE)
    ]
    above = (sizes[0] - sizes[1]) / 1e6
    print(f"image: {sizes[0] / 1e6:.0f} MB, {above:.0f} MB above its base")
    assert above < IMAGE_MEGABYTES
    tried = stack.compose(
        "run",
        "--rm",
        "--no-deps",
        "-T",
        "migrator",
        "sh",
        "-c",
        "id -u; touch /library/x; touch /app/x; touch /state/x && echo state; ls "
        "/var/run/docker.sock; env",
    )
    uid, state, *environment = tried.stdout.splitlines()
    assert (uid, state) == ("1000", "state")
    assert tried.stderr.count("Read-only file system") == 2, tried.stderr
    assert "docker.sock" not in tried.stdout
    # The names of secrets' files are there, empty.
    given = [line.partition("=") for line in environment]
    names = {name for name, _equals, text in given if text}
    assert "MBS2_PASSWORD" in names
    assert not {
        name
        for name in names
        if "SECRET" in name
        or "TOKEN" in name
        or "MBS2_DB" in name
        or "POSTGRES" in name
    }


@pytest.mark.parametrize("user", ["1000:1000", "0:0"])
def test_what_a_changed_script_reaches_in_a_container(stack: Stack, user: str) -> None:
    """As on a plain host, as the migrator's user and as root: needs no privilege. Where
    the engine's profile forbids Landlock it does not run at all."""
    done = stack.compose(
        "run",
        "--rm",
        "--no-deps",
        "-T",
        *("--user", user, "--env", "PYTHONPATH=/app"),
        *("--volume", f"{probes.__file__}:/probes.py:ro"),
        "migrator",
        *("python", "/probes.py", "/tmp/probed"),
        check=False,
    )
    if kernel.CannotConfine.code in done.stderr:
        pytest.skip("this engine or kernel gives no Landlock")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    tiers = {name: found["tiers"][name] for name in ("files", "programs", "network")}
    assert tiers == {"files": "", "programs": "", "network": ""}
    # An image has no history.
    probes.check(found["said"], absent=[".git"])


def test_an_image_is_built_once_and_says_what_it_is(
    docker: Docker, built: dict[str, str]
) -> None:
    """By all services that run it; another build leaves no image without a name."""
    tag = built["MIGRATOR_TAG"]
    stack = Stack(docker, tag, built, profiles=("embedded", "migrate", "watch"))
    stack.compose("build", "--quiet")
    labels = json.loads(
        docker.run(
            "image",
            "inspect",
            "-f",
            "{{json .Config.Labels}}",
            f"calibre-migrator:{tag}",
        ).stdout
    )
    assert labels["org.opencontainers.image.revision"] == tag
    assert re.fullmatch(r"\d+\.\d+\.\d+", labels["org.opencontainers.image.version"])
    ours = ["--filter", f"label=com.docker.compose.project={tag}"]
    left = docker.run("images", "--quiet", "--filter", "dangling=true", *ours)
    assert left.stdout == ""


def test_a_cluster_in_containers(docker: Docker, built: dict[str, str]) -> None:
    """Scheduler, two machines and a coordinator of one image: both machines join,
    everything is proved."""
    stack = Stack(
        docker,
        f"test{uuid.uuid4().hex[:8]}",
        built,
        [PROJECT / "deploy" / "cluster.compose.yml"],
        ("embedded", "migrate", "cluster"),
    )
    try:
        stack.compose("build", "--quiet", "scheduler")
        done = stack.compose("up", "--exit-code-from", "migrator")
        said = done.stdout + done.stderr
        expected = json.loads((PROJECT / "demo" / "expected.json").read_text("utf-8"))[
            "first_run"
        ]
        assert (
            f"discovered {expected['discovered']} = uploaded {expected['uploaded']}"
            in said
        ), said
        assert "proved row by row" in said
        log = stack.compose(
            "run",
            "--rm",
            "--no-deps",
            "-T",
            "migrator",
            "cat",
            "/state/migration_worker1.log",
        ).stdout
        assert log.count("works along") == 2, log
    finally:
        stack.compose("down", "--volumes", "--timeout", "5", check=False)
        docker.run(
            "image",
            "rm",
            f"calibre-migrator-cluster:{built['MIGRATOR_TAG']}",
            check=False,
        )


def test_compose_names_what_is_missing(docker: Docker) -> None:
    """Without .env nothing is started, and a sentence says what to set; what ends or
    shows a project needs nothing."""
    nothing = Stack(docker, f"test{uuid.uuid4().hex[:8]}", {})
    for command in (["config"], ["ps"], ["logs"], ["down"]):
        assert nothing.compose(*command).returncode == 0, command


def test_what_is_wrong_is_said_once_and_started_once(
    stack: Stack, docker: Docker, tmp_path: Path
) -> None:
    """No library, no password, a library closed to the container's user: a sentence and
    the status, and Docker starts nothing again."""
    stack.settings["CALIBRE_LIBRARY"] = ""
    done = stack.compose("up", "--exit-code-from", "migrator", check=False)
    assert "CALIBRE_LIBRARY-is-not-set-in-.env" in done.stderr, done.stderr
    library = Library(tmp_path / "library")
    library.add(*epubs(range(1)))
    library.root.chmod(0o700)
    stack.settings["CALIBRE_LIBRARY"] = str(library.root)
    owner = library.root.stat()
    alone = ["up", "--no-deps", "--exit-code-from", "migrator", "migrator"]
    for password, status, said in (
        ("", 2, "set MBS2_PASSWORD in .env"),
        (PASSWORD, 4, "/library cannot be read by user 1000:1000 of this container"),
    ):
        stack.settings["MBS2_PASSWORD"] = password
        done = stack.compose(*alone, check=False)
        # What ends at once may have ended before `up` listens.
        log = stack.compose("logs", "--no-log-prefix", "migrator").stdout
        assert (done.returncode, log.count(said)) == (status, 1), log
        assert f"belongs to user {owner.st_uid}:" in log or not password
        container = stack.compose("ps", "--all", "--quiet", "migrator").stdout.strip()
        form = "{{.State.ExitCode}} {{.RestartCount}}"
        seen = docker.run("inspect", "-f", form, container).stdout
        assert seen.split() == [str(status), "0"]


def test_every_setting_arrives(
    docker: Docker, built: dict[str, str], tmp_path: Path
) -> None:
    """As .env has it, whatever characters it has: those of worker and monitor in the
    migrator, none of the server's; a secret also out of its file."""
    text = '{} two $words #and "more" back\\slash'
    names = sorted(
        {
            one.variable
            for program in ("worker", "monitor")
            for one in settings_of(PROGRAMS[program])
            if one.container
        }
    )
    secret = tmp_path / "secret"
    secret.write_text(text.format("OPENAI_API_KEY") + "\n", "utf-8")
    lines = [f"{name}='{text.format(name)}'" for name in names]
    lines.remove(f"OPENAI_API_KEY='{text.format('OPENAI_API_KEY')}'")
    lines += [f"OPENAI_API_KEY_FILE={secret}", "MBS2_SECRET_KEY=the server's"]
    (tmp_path / ".env").write_text("\n".join(lines) + "\n", "utf-8")
    # What the environment has would win.
    others = {name: built[name] for name in built if name not in names}
    stack = Stack(
        docker, f"test{uuid.uuid4().hex[:8]}", others, env_file=tmp_path / ".env"
    )
    try:
        show = "import json, os; print(json.dumps(dict(os.environ)))"
        command = ["migrator", "python", "-c", show]
        done = stack.compose("run", "--rm", "--no-deps", "-T", *command)
        seen = json.loads(done.stdout)
        arrived = {name: seen.get(name) for name in names if seen.get(name)}
        place = seen["OPENAI_API_KEY_FILE"]
        read = ["migrator", "cat", place]
        done = stack.compose("run", "--rm", "--no-deps", "-T", *read)
        arrived["OPENAI_API_KEY"] = done.stdout.rstrip("\n")
        assert arrived == {name: text.format(name) for name in names}
        assert "MBS2_SECRET_KEY" not in seen
    finally:
        stack.compose("down", "--volumes", check=False)


def test_the_page_stays(stack: Stack) -> None:
    """When the migration has ended, shelf and page are there, and the report; the link
    in the log is one for the host's browser."""
    stack.settings["DASHBOARD_PORT_ON_HOST"] = str(free_port())
    stack.compose("up", "--detach")
    assert stack.compose("wait", "migrator").stdout.split()[-1:] == ["0"]
    # Ends by itself, as docs say.
    assert "proved row by row" in stack.compose("logs", "--follow", "migrator").stdout
    link = stack.compose("logs", "--no-log-prefix", "dashboard").stdout.split()[-1]
    at = f"http://127.0.0.1:{stack.settings['DASHBOARD_PORT_ON_HOST']}"
    assert link.startswith(f"{at}/enter?link=")
    with requests.Session() as session:
        assert session.get(link, timeout=30).status_code == 200
        seen = session.get(f"{at}/api/status", timeout=30).json()
        assert (seen["state"], seen["totals"]["counts"]["pending"]) == ("finished", 0)
    report = stack.python(
        "dashboard", "print(open('/state/report/report.html').read())"
    )
    assert "<html" in report


def test_stopped_and_killed_in_the_middle(stack: Stack, tmp_path: Path) -> None:
    """Each container stopped, the migrator and a worker killed: the pass is closed,
    everything there exactly once."""
    library = Library(tmp_path / "library")
    library.add(*epubs(range(BOOKS)))
    library.root.chmod(0o755)
    stack.settings.update(
        CALIBRE_LIBRARY=str(library.root),
        CHECK_INTERVAL_SECONDS="1",
        TARGET_WORKER_COUNT="2",
        # Many books at a time, and it is over before anything is stopped.
        MIGRATE_LANE="api",
    )
    command = (
        "python -m bookshelf --data-dir /data --host 0.0.0.0 --port 6006 --delay-ms 50"
    )
    services = {
        "bookshelf": {"command": command},
        "migrator": {
            "environment": {
                "PROBE_SECONDS": "1",
                "RECONCILE_AFTER_SECONDS": "5",
                "TASK_SECONDS": "10",
            }
        },
    }
    (tmp_path / "more.yml").write_text(json.dumps({"services": services}))
    stack.compose("up", "--detach")
    for number, (verb, what) in enumerate(UPSETS, start=1):
        wait_for(lambda due=number * BOOKS // 8: uploaded(stack) >= due, seconds=180)  # type: ignore[misc]
        assert uploaded(stack) < BOOKS, f"it was over too soon for: {verb} {what}"
        if what == "a worker":
            kill_a_worker(stack)
        else:
            stack.compose(verb, what)
            stack.compose("up", "--detach")
    assert stack.compose("wait", "migrator").stdout.split()[-1:] == ["0"]
    log = stack.compose("logs", "--no-log-prefix", "migrator").stdout
    assert f"discovered {BOOKS} = uploaded {BOOKS}" in log, log[-3000:]
    assert "proved row by row" in log
    assert stack.python("bookshelf", TRUTH) == f"{BOOKS} {BOOKS} {BOOKS} 0 0"


#: Sources, distinct hashes, ebooks, ebooks without a source, working titles left: in
#: the server's own database.
TRUTH = """
import sqlite3
one = lambda sql: sqlite3.connect('/data/bookshelf.db').execute(sql).fetchone()[0]
print(one('SELECT COUNT(*) FROM source'), one('SELECT COUNT(DISTINCT hash) FROM source'),
      one('SELECT COUNT(*) FROM ebook'),
      one('SELECT COUNT(*) FROM ebook WHERE id NOT IN (SELECT ebook_id FROM source)'),
      one("SELECT COUNT(*) FROM ebook WHERE title LIKE '% ~________-%'"))
"""


def uploaded(stack: Stack) -> int:
    """Files uploaded so far, by the ledger; 0 while nobody can say."""
    done = stack.compose(
        "exec",
        "-T",
        "migrator",
        "python",
        "auto_monitor/monitor.py",
        "--status",
        "--json",
        check=False,
    )
    try:
        return int(json.loads(done.stdout)["totals"]["counts"]["uploaded"])
    except (ValueError, KeyError, TypeError):
        return 0


def kill_a_worker(stack: Stack) -> None:
    """SIGKILL to worker 1 inside the container, once it runs: its file may still be that
    of the container before."""
    pid = "json.load(open('/state/migration_progress_worker1.json'))['pid']"
    kill = f"import json, os, signal; os.kill({pid}, signal.SIGKILL)"
    command = ["exec", "-T", "migrator", "python", "-c", kill]
    wait_for(lambda: stack.compose(*command, check=False).returncode == 0, seconds=60)


# -- services --------------------------------------------------------------------------

SHELF = "calibre-bookshelf.service"
MONITOR = "calibre-migration-monitor.service"
WATCH = "calibre-migration-watch.service"
WORKER = "/var/lib/calibre-migration/worker/bulk_migrate_calibre.py"
PROPOSALS = "/var/lib/calibre-migration/auto_monitor/proposals"


@pytest.fixture
def machine(
    docker: Docker, built: dict[str, str], tmp_path: Path
) -> Iterator[bootedkit.Booted]:
    """One with a booted systemd."""
    library = PROJECT / "demo" / "library"
    base = f"calibre-migrator:{built['MIGRATOR_TAG']}"
    made = bootedkit.boot(docker, base, library, tmp_path)
    yield made
    bootedkit.shut_down(made)


def one_pass(machine: bootedkit.Booted) -> None:
    """The monitor's service from its start to its end."""
    assert machine.starts(MONITOR), machine.journal(MONITOR)
    wait_for(lambda: machine.shown(MONITOR, "ActiveState") == "inactive", 120)
    assert machine.shown(MONITOR, "Result") == "success"


def new_version(machine: bootedkit.Booted, number: int) -> str:
    """Replaces the program; returns its script."""
    machine.shell(
        f"cd {bootedkit.INSTALLED}; sed -i '1i # version {number}' bulk_migrate_calibre.py; "
        ".venv/bin/python -m migration.release"
    )
    return machine.shell(f"cat {bootedkit.INSTALLED}/bulk_migrate_calibre.py")


def test_the_units_under_a_booted_systemd(machine: bootedkit.Booted) -> None:
    """Without settings: a sentence, and no second try. With them: to the end of a pass;
    hung and killed services come back; a new version takes the place of a repair."""
    for unit in (SHELF, MONITOR, WATCH):
        assert not machine.starts(unit)
        assert "there is no /etc/calibre-migration.env" in machine.journal(unit)
        assert (machine.shown(unit, "NRestarts"), machine.shown(unit, "Result")) == (
            "0",
            "exit-code",
        )
        assert machine.shown(unit, "ExecMainStatus") == "2"
    bootedkit.settle_in(machine, (SHELF, MONITOR, WATCH))
    assert machine.starts(SHELF)
    one_pass(machine)
    assert "Pass 1 closed: discovered 61 = uploaded 59" in machine.journal(MONITOR)
    assert machine.starts(WATCH)
    for unit in (SHELF, WATCH):
        machine.restarted(unit, "STOP")
        assert "Watchdog timeout" in machine.journal(unit)
        machine.restarted(unit, "KILL")
    machine.run("systemctl", "stop", WATCH)
    # A new version, without a repair and with one.
    second = new_version(machine, 2)
    one_pass(machine)
    assert machine.shell(f"cat {WORKER}") == second
    assert "took the place" not in machine.journal(MONITOR)
    change = {"root_cause": "the limit is zero", "code": as_strings(OLD, NEW)}
    machine.shell(
        f"cd /var/lib/calibre-migration; install -d -o {bootedkit.USER} auto_monitor {PROPOSALS}"
    )
    machine.run("tee", f"{PROPOSALS}/ours.json", given=json.dumps(change))
    machine.monitor("--apply", "ours.json")
    one_pass(machine)
    assert machine.shell(f"cat {WORKER}") == second.replace(OLD, NEW)
    third = new_version(machine, 3)
    one_pass(machine)
    assert machine.shell(f"cat {WORKER}") == third
    (kept,) = machine.shell(f"cd {PROPOSALS}; ls *.before-update").split()
    assert "took the place of one that a code fix" in machine.journal(MONITOR)
    machine.monitor("--apply", kept)
    assert machine.shell(f"cat {WORKER}") == third.replace(OLD, NEW)
