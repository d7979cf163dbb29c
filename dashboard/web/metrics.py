"""`/metrics` for Prometheus, from the same snapshot as the page. Names carry units;
nothing is kept between scrapes.

What can go down again when failed files are retried, or begins anew with a pass, is a
gauge."""

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from auto_monitor.model import HistoryEntry
from common.json_value import Json
from dashboard.reading.state_reader import verdict
from migration.model import Phase

__all__ = ["CONTENT_TYPE_LATEST", "exposition"]

Labelled = Iterable[tuple[tuple[str, ...], float]]


def exposition(
    now: Mapping[str, Json], fixes: Iterable[HistoryEntry], spent: tuple[int, int]
) -> bytes:
    """The text Prometheus reads: a snapshot, the attempts, and calls and tokens of the
    LLM."""
    registry = CollectorRegistry()
    registry.register(_Snapshot(now, list(fixes), spent))
    return generate_latest(registry)


class _Snapshot(Collector):
    """One moment as metrics."""

    def __init__(
        self, now: Mapping[str, Json], fixes: list[HistoryEntry], spent: tuple[int, int]
    ) -> None:
        self._now = now
        self._fixes = fixes
        self._spent = spent

    def collect(self) -> Iterator[Metric]:
        """Everything there is now."""
        yield from _pass(_object(self._now["totals"]), self._now)
        yield from _monitor(self._now)
        workers = self._now["workers"] if isinstance(self._now["workers"], list) else []
        yield from _workers([_object(worker) for worker in workers])
        fixes = Counter((entry.fix_type, verdict(entry)) for entry in self._fixes)
        yield _gauge(
            "migration_fixes",
            "Attempts to help a worker that are in the history.",
            ("type", "verdict"),
            fixes.items(),
        )
        yield _gauge(
            "migration_llm_calls",
            "Calls of the LLM whose answers are kept.",
            (),
            [((), self._spent[0])],
        )
        yield _gauge(
            "migration_llm_tokens",
            "Tokens of the LLM's answers that are kept.",
            (),
            [((), self._spent[1])],
        )


def _pass(found: dict[str, Json], now: Mapping[str, Json]) -> Iterator[Metric]:
    if not found:
        return
    counts = _object(found["counts"])
    outcomes = ("uploaded", "duplicate", "skipped", "failed", "pending")
    yield _gauge(
        "migration_files",
        "Files of the newest pass, by what became of them.",
        ("outcome",),
        [((name,), _number(counts[name])) for name in outcomes],
    )
    failed = [((reason,), _number(n)) for reason, n in _object(found["failed"]).items()]
    yield _gauge(
        "migration_failed_files",
        "Failed files of the newest pass, by reason.",
        ("reason",),
        failed,
    )
    if found["total"] is not None:
        text = "Files the library listed when the pass was opened."
        yield _single("migration_expected_files", text, _number(found["total"]))
    text = "Bytes uploaded in the newest pass."
    yield _single("migration_uploaded_bytes", text, _number(found["bytes_uploaded"]))
    yield _single(
        "migration_pass_open",
        "1 while the newest pass is open.",
        float(found["closed_at"] is None),
    )
    yield from _speed(now)


def _speed(now: Mapping[str, Json]) -> Iterator[Metric]:
    rate = _number(now["rate_files_per_min"]) / 60
    yield _single(
        "migration_files_per_second",
        "Files settled per second, all workers together.",
        rate,
    )
    eta = _object(now["eta"])
    if eta:
        text = "Seconds to the end at the present rate."
        yield _single("migration_expected_end_seconds", text, _number(eta["seconds"]))


def _monitor(now: Mapping[str, Json]) -> Iterator[Metric]:
    monitor, disk = _object(now["monitor"]), _object(now["state_disk"])
    yield _gauge(
        "migration_monitor_up",
        "1 while the monitor runs.",
        (),
        [((), float(monitor["alive"] is True))],
    )
    stale = [((), float(monitor["stale"] is True and bool(now["totals"])))]
    yield _gauge(
        "migration_monitor_stale",
        "1 when nobody watches a migration that is not over.",
        (),
        stale,
    )
    if monitor["heartbeat_age_seconds"] is not None:
        beat = [((), _number(monitor["heartbeat_age_seconds"]))]
        yield _gauge(
            "migration_monitor_heartbeat_age_seconds",
            "Seconds since the monitor's last look.",
            (),
            beat,
        )
    if now["disk_utilization_percent"] is not None:
        busy = [((), _number(now["disk_utilization_percent"]) / 100)]
        yield _gauge(
            "migration_disk_utilization_ratio",
            "How busy the library's disk is.",
            (),
            busy,
        )
    yield _gauge(
        "migration_state_disk_used_ratio",
        "How full the disk of the state directory is.",
        (),
        [((), _number(disk["used_percent"]) / 100)],
    )
    if now["desired_workers"] is not None:
        yield _gauge(
            "migration_workers_desired",
            "Workers that should run.",
            (),
            [((), _number(now["desired_workers"]))],
        )


#: One gauge per worker: its name after `migration_worker_`, text, key in the snapshot,
#: factor of the unit.
_OF_WORKER = (
    ("up", "1 while the worker runs.", "lives", 1.0),
    ("stuck", "1 while the worker makes no progress.", "stuck", 1.0),
    ("paused", "1 while the worker is paused.", "paused", 1.0),
    ("attempts", "Attempts to help the worker since one helped.", "attempts", 1.0),
    ("files_per_second", "Files settled per second.", "rate_files_per_min", 1 / 60),
    (
        "progress_age_seconds",
        "Seconds since work of the worker moved.",
        "progress_age_seconds",
        1.0,
    ),
    ("sent_bytes", "Bytes uploaded by the worker's process.", "bytes_uploaded", 1.0),
    (
        "slow_uploads",
        "Uploads of the worker's process that took over two minutes.",
        "slow_uploads",
        1.0,
    ),
)


def _workers(workers: list[dict[str, Json]]) -> Iterator[Metric]:
    names = [(str(worker["worker_id"]), worker) for worker in workers]
    for name, text, key, factor in _OF_WORKER:
        known = [
            ((number,), _number(worker[key]) * factor)
            for number, worker in names
            if worker[key] is not None
        ]
        yield _gauge(f"migration_worker_{name}", text, ("worker",), known)
    phases = [
        ((number, phase.value), float(worker["status"] == phase.value))
        for number, worker in names
        for phase in Phase
    ]
    yield _gauge(
        "migration_worker_phase",
        "1 for the phase the worker is in.",
        ("worker", "phase"),
        phases,
    )


def _single(name: str, text: str, value: float) -> Metric:
    return _gauge(name, text, (), [((), value)])


def _gauge(name: str, text: str, labels: tuple[str, ...], values: Labelled) -> Metric:
    family = GaugeMetricFamily(name, text, labels=labels)
    for of, value in values:
        family.add_metric(of, value)
    return family


def _number(value: Json) -> float:
    return float(value) if isinstance(value, int | float) else 0.0


def _object(value: Json) -> dict[str, Json]:
    return value if isinstance(value, dict) else {}
