"""docker-compose.yml by itself: the specification's schema, what it promises, what must
be set."""

import re
import subprocess
import sys
from typing import Any

import pytest
import yaml

from common.settings.programs import DashboardSettings
from common.settings.reference import rows
from common.settings.setting import settings_of
from deploy.check_env import DEFAULT, remarks
from deploy.env_file import entries
from deploy.needed import SECRETS, missing
from tests.support.environment import PROJECT

pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("compose")]
COMPOSE = PROJECT / "docker-compose.yml"
DATABASE = PROJECT / "deploy" / "database.compose.yml"
DIRECT = PROJECT / "deploy" / "direct.compose.yml"
#: The services that belong together.
SERVER, EMBEDDED, MIGRATE = {"db", "backend", "app"}, {"bookshelf"}, {"migrator"}
WATCH, PAGE = {"watcher"}, {"dashboard"}
#: What is built, and no container.
IMAGES = {"migrator-image", "server-image"}


@pytest.fixture(scope="module")
def services() -> dict[str, dict[str, Any]]:
    """The services, their shared parts merged."""
    found = everything()
    return {name: service for name, service in found.items() if name not in IMAGES}


def everything() -> dict[str, dict[str, Any]]:
    """The images that are built as well."""
    found: dict[str, dict[str, Any]] = yaml.safe_load(COMPOSE.read_text("utf-8"))[
        "services"
    ]
    return found


def test_it_is_what_the_specification_says() -> None:
    """The JSON schema of the Compose specification; no `version`, no empty section."""
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "check_jsonschema",
            "--builtin-schema",
            "vendor.compose-spec",
            str(COMPOSE),
        ],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        cwd=PROJECT,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    whole = yaml.safe_load(COMPOSE.read_text("utf-8"))
    assert "version" not in whole
    assert all(whole.values())


def test_profiles(services: dict[str, dict[str, Any]]) -> None:
    """`embedded` takes the place of the three; `migrate` is one container and depends
    on whichever is there."""
    by_profile = {
        profile: {
            name for name, service in services.items() if profile in service["profiles"]
        }
        for profile in ("server", "embedded", "migrate", "watch")
    }
    assert by_profile == {
        "server": SERVER,
        "embedded": EMBEDDED,
        "migrate": MIGRATE | PAGE,
        "watch": WATCH | PAGE,
    }
    assert {
        name: needed["required"]
        for name, needed in services["migrator"]["depends_on"].items()
    } == {
        "bookshelf": False,
        "app": False,
    }


def test_the_watcher_is_a_migrator_that_stays(
    services: dict[str, dict[str, Any]],
) -> None:
    """Also after a reboot, and whatever it met; all else is the same."""
    differ = {"profiles", "restart", "command", "environment"}
    watcher, migrator = services["watcher"], services["migrator"]
    assert {name for name in watcher if watcher[name] != migrator[name]} == differ
    assert set(watcher) == set(migrator)
    assert watcher["restart"] == "unless-stopped"
    assert "container --watch " in watcher["command"]
    assert watcher["environment"] == {
        **migrator["environment"],
        "CONTAINER_RESTART": "unless-stopped",
    }


def test_the_page_outlives_the_migration(
    services: dict[str, dict[str, Any]],
) -> None:
    """A container of its own, which knows no login and depends on nobody."""
    page = services["dashboard"]
    assert "depends_on" not in page
    assert not {name for name in page["environment"] if name.startswith("MBS2_")}
    assert page["volumes"] == services["migrator"]["volumes"]
    told = {one.variable for one in settings_of(DashboardSettings) if one.container}
    assert told <= set(page["environment"])


def test_docker_starts_nothing_again_that_ends_for_good(
    services: dict[str, dict[str, Any]],
) -> None:
    """What runs our programs knows Docker's policy, and stays where that would start it
    again; the migration by itself ends with its status."""
    for name in EMBEDDED | MIGRATE | WATCH | PAGE:
        service = services[name]
        assert service["environment"]["CONTAINER_RESTART"] == service["restart"], name
        assert "deploy.migrator." in " ".join(service["command"]) or (
            "deploy.migrator." in service["command"]
        ), name
    assert services["migrator"]["restart"] == "${MIGRATOR_RESTART:-no}"


def test_every_secret_can_be_a_file(
    services: dict[str, dict[str, Any]],
) -> None:
    """Where NAME_FILE says which; a service has the files of its own secrets only."""
    files = yaml.safe_load(COMPOSE.read_text("utf-8"))["secrets"]
    assert set(files) == {name.lower() for name in SECRETS} | {"ca"}
    for name in SECRETS:
        place = f"${{{name}_FILE:+/run/secrets/{name.lower()}}}"
        assert files[name.lower()] == {"file": f"${{{name}_FILE:-/dev/null}}"}
        for service in services.values():
            environment = service["environment"]
            assert (name in environment) == (name.lower() in service.get("secrets", ()))
            assert environment.get(f"{name}_FILE") == (
                place if name in environment else None
            )


def test_every_build_argument_is_passed_on() -> None:
    """Those of the Dockerfiles, with the same defaults or with none."""
    for name in sorted(IMAGES):
        build = everything()[name]["build"]
        text = (PROJECT / build["dockerfile"]).read_text("utf-8")
        own = dict(re.findall(r"^ARG ([A-Z_0-9]+)=?(.*)$", text, re.MULTILINE))
        # Which image it is, is not for .env to say.
        assert set(own) - {"REQUIREMENTS"} == set(build["args"]), name
        for argument, default in own.items():
            given = build["args"].get(argument)
            assert given in (None, f"${{{argument}:-{default}}}"), argument


def test_no_command_needs_a_variable() -> None:
    """`down`, `ps` and `logs` work without .env: what is missing is said at the start."""
    for path in (COMPOSE, PROJECT / "deploy" / "cluster.compose.yml"):
        assert ":?" not in path.read_text("utf-8"), path


def test_every_service_is_kept_up_and_watched(
    services: dict[str, dict[str, Any]],
) -> None:
    """A restart policy, a memory limit, a health check, an end that is waited for;
    those who depend wait for health."""
    for name, service in services.items():
        assert {"restart", "mem_limit", "healthcheck", "stop_grace_period"} <= set(
            service
        ), name
        assert all(
            needed["condition"] == "service_healthy"
            for needed in service.get("depends_on", {}).values()
        ), name


def test_who_may_write_where(services: dict[str, dict[str, Any]]) -> None:
    """Everything of the host comes in read-only; our own containers have a read-only
    root, no rights, no root user."""
    for name, service in services.items():
        for mount in service.get("volumes", []):
            assert mount["type"] == "volume" or mount["read_only"], (name, mount)
            assert "docker.sock" not in str(mount)
    for name in EMBEDDED | MIGRATE | WATCH | PAGE:
        service = services[name]
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
        assert "no-new-privileges:true" in service["security_opt"]
        assert service["user"].startswith("${MIGRATOR_UID:-1000}")
    for name in ("app", "backend"):
        mounts = {
            mount["target"]: mount["source"] for mount in services[name]["volumes"]
        }
        assert mounts["/code/settings.py"] == "./settings.py"
        assert "/library" in mounts


def test_an_image_is_built_once(services: dict[str, dict[str, Any]]) -> None:
    """For all that run it, whichever of them is started; nothing else is built."""
    images = {name: everything()[name] for name in IMAGES}
    assert all(one["scale"] == 0 for one in images.values())
    for name, service in services.items():
        assert "build" not in service, name
        built = {one for one in IMAGES if images[one]["image"] == service["image"]}
        assert len(built) == (name != "db"), name
        # A container that depended on it could not be ended by the project's name alone.
        assert not IMAGES & set(service.get("depends_on", {})), name
        for one in built:
            assert service["pull_policy"] == "never", name
            assert set(service["profiles"]) <= set(images[one]["profiles"]), name


def test_every_container_is_hardened(services: dict[str, dict[str, Any]]) -> None:
    """A read-only root, no rights, no root user, limits, a log that does not fill the
    disk."""
    for name, service in services.items():
        assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"]), name
        assert service["security_opt"] == ["no-new-privileges:true"], name
        assert service["user"].startswith(
            ("${MIGRATOR_UID:-1", "${SERVER_UID:-1", "po")
        )
        assert service["pids_limit"] in (512, 2048), name
        assert re.fullmatch(r"\$\{[A-Z]+_CPU_QUOTA:-[1-4]00000\}", service["cpu_quota"])
        assert service["logging"]["options"] == {"max-size": "10m", "max-file": "5"}


def test_the_database_is_reached_by_the_server_only(
    services: dict[str, dict[str, Any]],
) -> None:
    """And so is the port of the task engine that trusts its token: they are on a network
    without a way in or out, and the engine listens there alone."""
    networks = yaml.safe_load(COMPOSE.read_text("utf-8"))["networks"]
    assert networks["inside"] == {"internal": True}
    members = {
        name for name, one in services.items() if "inside" in one.get("networks", ())
    }
    assert members == SERVER
    assert services["db"]["networks"] == ["inside"]
    assert "ports" not in services["db"]
    backend = services["backend"]
    assert backend["networks"]["inside"] == {"aliases": ["engine"]}
    assert backend["command"][-2:] == ["--delegated-addr", "engine"]
    assert services["app"]["environment"]["MBS2_DELEGATED_HOST"] == "engine"
    assert services["db"]["environment"]["POSTGRES_INITDB_ARGS"] == "--data-checksums"


def _default(text: object) -> str:
    """What Compose makes of it without .env."""
    return re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", str(text))


def test_the_table_of_what_each_may_is_true(
    services: dict[str, dict[str, Any]],
) -> None:
    """In docs/deployment.md: user, limits, restarts, networks, ports, as docker inspect
    had it of the containers made from this file."""
    page = (PROJECT / "docs" / "deployment.md").read_text("utf-8")
    table = page.partition("### What each container may")[2].partition("\n- ")[0]
    rows = {}
    for line in table.splitlines():
        cells = [cell.strip().replace("`", "") for cell in line.strip("|").split("|")]
        if len(cells) == 9 and cells[0] in services:
            rows[cells[0]] = cells[1:8]
    said = {}
    for name, service in services.items():
        memory = _default(service["mem_limit"]).upper()
        said[name] = [
            _default(service["user"]),
            f"{memory[:-1]} {memory[-1]}B",
            _default(service["cpu_quota"]),
            str(service["pids_limit"]),
            _default(service["restart"]),
            ", ".join(sorted(service.get("networks", ["default"]))),
            ", ".join(
                _default(port).rpartition(":")[0] for port in service.get("ports", ())
            )
            or "none",
        ]
    assert rows == said


def test_only_its_own_login(services: dict[str, dict[str, Any]]) -> None:
    """The migrator knows no secret of the server; ports are published on loopback, the
    database on 5433."""
    known = set(services["migrator"]["environment"])
    assert "MBS2_PASSWORD" in known
    # A number, not a token.
    # A user's own reader of the hashes, on a server elsewhere.
    others = known - {"LLM_TOKENS_PER_DAY", "MBS2_DB_URI", "MBS2_DB_URI_FILE"}
    assert not {
        name for name in others if "DB" in name or "SECRET" in name or "TOKEN" in name
    }
    assert not known & {
        name
        for name in (*services["db"]["environment"], *services["app"]["environment"])
    } - {"MAX_CONTENT_LENGTH"}
    ports = {port for service in services.values() for port in service.get("ports", [])}
    page = "${DASHBOARD_BIND:-127.0.0.1}:${DASHBOARD_PORT_ON_HOST:-8765}"
    assert f"{page}:8765" in ports
    assert services["dashboard"]["environment"]["DASHBOARD_URL"] == f"http://{page}"
    assert all(port.startswith("127.0.0.1:") for port in ports - {f"{page}:8765"})
    # The browser's client and a migration on the host speak to the task engine's 8080.
    assert {port.rpartition(":")[2] for port in ports} == {"6006", "8080", "8765"}
    published = yaml.safe_load(DATABASE.read_text("utf-8"))["services"]["db"]["ports"]
    assert published == ["127.0.0.1:${MBS2_DB_PORT_ON_HOST:-5433}:5432"]


def test_the_direct_lane_gets_the_database_and_the_data_and_no_more(
    services: dict[str, dict[str, Any]],
) -> None:
    """`migrator` and `watcher` share one network with the database, and it has no way
    out; the task engine is in none of theirs."""
    whole = yaml.safe_load(DIRECT.read_text("utf-8"))
    added = whole["services"]
    assert set(added) == {"db", "migrator", "watcher"}
    assert whole["networks"] == {"rows": {"internal": True}}
    assert added["db"] == {"networks": [*services["db"]["networks"], "rows"]}
    assert added["migrator"] == added["watcher"]
    migrator = added["migrator"]
    assert set(migrator) == {"networks", "environment", "volumes"}
    assert migrator["networks"] == ["default", "rows"]
    (volume,) = migrator["volumes"]
    assert (volume["source"], volume["target"]) == (
        "mbs2-data",
        migrator["environment"]["MBS2_DATA_DIR"],
    )
    data = next(
        one for one in services["app"]["volumes"] if one.get("source") == "mbs2-data"
    )
    assert data["type"] == volume["type"] == "volume"


def test_the_example_is_what_docs_say() -> None:
    """Copied and filled in, it names the profiles of the first start; each variable in
    it is one of the Compose files or of the model, and reads as it looks."""
    text = (PROJECT / "deploy" / ".env.example").read_text("utf-8")
    found = {one.name: one for one in entries(text, {})}
    assert found["COMPOSE_PROFILES"].value == DEFAULT
    # Those that stand behind a # as well.
    bare = re.sub(r"^#([A-Z][A-Z0-9_]*=)", r"\1", text, flags=re.MULTILINE)
    said = [line for one in entries(bare, {}) for line in remarks(one, {})]
    assert said == []
    used = COMPOSE.read_text("utf-8") + DATABASE.read_text("utf-8")
    for one in entries(bare, {}):
        known = re.search(rf"\b{one.name}\b", used) is not None
        assert known or one.name in dict(rows()) or one.name == "COMPOSE_FILE", one


#: What .env has, which profiles are started, what is missing.
ENVIRONMENTS = [
    ({}, "embedded,migrate", ["CALIBRE_LIBRARY", "MBS2_PASSWORD"]),
    ({"CALIBRE_LIBRARY": "/x", "MBS2_PASSWORD": "x"}, "embedded,migrate", []),
    ({"CALIBRE_LIBRARY": "/x", "MBS2_PASSWORD": ""}, "migrate", ["MBS2_PASSWORD"]),
    (
        {
            "CALIBRE_LIBRARY": "/x",
            "MBS2_PASSWORD": "x",
            "MBS2_CODE": "/x",
            "MBS2_DB_PASSWORD": "x",
        },
        "server",
        [
            "POSTGRES_PASSWORD",
            "MBS2_SECRET_KEY",
            "MBS2_SECRET_KEY2",
            "MBS2_DELEGATED_TOKEN",
        ],
    ),
]


@pytest.mark.parametrize(("given", "profiles", "lacking"), ENVIRONMENTS)
def test_what_is_missing(
    given: dict[str, str], profiles: str, lacking: list[str]
) -> None:
    """`python -m deploy.check_env` knows what each profile needs."""
    assert [name for name, _why in missing(given, profiles.split(","))] == lacking


def test_a_cluster_speaks_tls_only() -> None:
    """Each part with a certificate of its own; the authority's key is on a volume that
    the scheduler alone sees, and its port is open on loopback."""
    path = PROJECT / "deploy" / "cluster.compose.yml"
    assert "tcp://" not in path.read_text("utf-8")
    cluster = yaml.safe_load(path.read_text("utf-8"))["services"]
    parts = {
        "migrator": "CLIENT",
        "scheduler": "SCHEDULER",
        "machine": "WORKER",
        "further-machine": "WORKER",
    }
    assert set(cluster) == set(parts)
    for name, role in parts.items():
        told = cluster[name]["environment"]
        assert told["DASK_DISTRIBUTED__COMM__REQUIRE_ENCRYPTION"] == "true"
        pair = {
            f"DASK_DISTRIBUTED__COMM__TLS__{role}__{end}" for end in ("CERT", "KEY")
        }
        assert pair <= set(told)
        targets = {one["target"] for one in cluster[name]["volumes"]}
        assert "/certificates" in targets
        assert ("/authority" in targets) == (name == "scheduler")
    assert cluster["scheduler"]["ports"] == ["${CLUSTER_BIND:-127.0.0.1}:8786:8786"]
