"""/metrics, the alert rules and the Grafana dashboard: by Prometheus's own parser and
checker."""

import json
import re
import subprocess
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from auto_monitor.llm_debugger import spent
from dashboard.reading.state_reader import StateReader
from dashboard.web.metrics import exposition
from migration.model import Counts, Phase
from tests.support.environment import PROJECT, needs
from tests.support.migration.statekit import HOSTILE, State

pytestmark = pytest.mark.integration
RULES = PROJECT / "deploy" / "monitoring" / "prometheus" / "alerts.yml"
GRAFANA = PROJECT / "deploy" / "monitoring" / "grafana" / "migration.json"


@pytest.fixture
def text(tmp_path: Path) -> str:
    """What Prometheus is told of a migration with everything there is."""
    state = State(tmp_path, total=1000)
    state.counts(Counts(600, 500, 40, 6, 4, 50), 5_000_000)
    state.failed(4)
    state.sql("INSERT INTO tallies VALUES (1, 'failed', ?, 3)", (HOSTILE[0] + '"\n\\',))
    state.samples(30)
    state.entries(12)
    state.monitor(2)
    state.worker(1)
    state.worker(2, phase=Phase.WAITING)
    answers = tmp_path / "auto_monitor" / "answers"
    answers.mkdir(parents=True)
    (answers / "x.json").write_text('{"calls": 3, "tokens": 4210}')
    reader = StateReader(tmp_path)

    return exposition(
        reader.snapshot(state.now), reader.fixes(), spent(tmp_path)
    ).decode()


def values(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    """Every sample by its name and labels."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def test_what_prometheus_reads_is_what_is(text: str) -> None:
    """Counts, phases, fixes, tokens; hostile text as a label comes back as it was."""
    found = values(text)
    assert found["migration_files", (("outcome", "uploaded"),)] == 500
    assert found["migration_expected_files", ()] == 1000
    assert found["migration_uploaded_bytes", ()] == 5_000_000
    assert found["migration_worker_phase", (("phase", "waiting"), ("worker", "2"))] == 1
    assert (
        found["migration_worker_phase", (("phase", "migrating"), ("worker", "2"))] == 0
    )
    assert found["migration_worker_paused", (("worker", "1"),)] == 0
    assert found["migration_disk_utilization_ratio", ()] == 0.635
    assert found["migration_monitor_up", ()] == 0
    assert found["migration_llm_tokens", ()] == 4210
    assert found["migration_failed_files", (("reason", HOSTILE[0] + '"\n\\'),)] == 3
    fixes = {
        labels: value
        for (name, labels), value in found.items()
        if name == "migration_fixes"
    }
    assert sum(fixes.values()) == 12
    assert fixes[("type", "code_fix"), ("verdict", "pending")] == 1


def test_nothing_there_is_no_error(tmp_path: Path) -> None:
    """Before a migration, and without a monitor."""
    reader = StateReader(tmp_path)
    found = values(
        exposition(reader.snapshot(State(tmp_path / "x").now), [], (0, 0)).decode()
    )
    assert found["migration_monitor_up", ()] == 0
    assert found["migration_monitor_stale", ()] == 0, "there is nothing to watch"


def promtool(*arguments: str, given: str = "") -> "subprocess.CompletedProcess[str]":
    """Prometheus's own checker."""
    needs("promtool")
    return subprocess.run(
        ["promtool", *arguments],
        input=given,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_promtool_finds_nothing_to_mend_in_the_metrics(text: str) -> None:
    """Names, units, help."""
    done = promtool("check", "metrics", given=text)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_promtool_takes_the_rules_and_they_fire_when_they_should() -> None:
    """Paused, no progress for 15 minutes, a stale monitor, a full disk; not before."""
    checked = promtool("check", "rules", str(RULES))
    assert (checked.returncode, "4 rules found" in checked.stdout) == (0, True), (
        checked.stdout + checked.stderr
    )
    fired = promtool("test", "rules", str(RULES.with_name("alerts_test.yml")))
    assert fired.returncode == 0, fired.stdout + fired.stderr


@pytest.mark.parametrize("path", [RULES, GRAFANA], ids=lambda path: path.name)
def test_rules_and_dashboard_ask_only_for_metrics_that_are_there(
    path: Path, text: str
) -> None:
    """A renamed metric must not leave a panel empty without anybody noticing."""
    asked = set(re.findall(r"\bmigration_\w+", path.read_text()))
    assert asked
    assert asked - {name for name, _labels in values(text)} == set()


def test_the_grafana_dashboard_is_whole() -> None:
    """Every panel has a query, an id of its own and a place of its own."""
    panels = json.loads(GRAFANA.read_text())["panels"]
    assert len({panel["id"] for panel in panels}) == len(panels)
    taken: set[tuple[int, int]] = set()
    for panel in panels:
        assert all(target["expr"] for target in panel["targets"])
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _y in cells) < 24
        assert not cells & taken
        taken |= cells
