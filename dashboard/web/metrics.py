"""`/metrics` for Prometheus, from the same snapshot as the page.

Names carry units; nothing is kept between scrapes. What can decrease when failed files
are retried, or starts over with a pass, is a gauge.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from auto_monitor.cli.status import PassStatus, WorkerStatus
from auto_monitor.model import HistoryEntry
from dashboard.reading.state_reader import Snapshot, verdict
from migration.model import Phase

__all__ = ["CONTENT_TYPE_LATEST", "exposition"]

Labelled = Iterable[tuple[tuple[str, ...], float]]


def exposition(
    now: Snapshot, fixes: Iterable[HistoryEntry], spent: tuple[int, int]
) -> bytes:
    """Returns the text for Prometheus.

    It covers a snapshot, the attempts, and calls and tokens of the LLM.
    """
    registry = CollectorRegistry()
    registry.register(_Snapshot(now, list(fixes), spent))
    return generate_latest(registry)


class _Snapshot(Collector):
    """One moment as metrics."""

    def __init__(
        self, now: Snapshot, fixes: list[HistoryEntry], spent: tuple[int, int]
    ) -> None:
        self._now = now
        self._fixes = fixes
        self._spent = spent

    def collect(self) -> Iterator[Metric]:
        """Yields all metrics."""
        if self._now.status.totals is not None:
            yield from _pass(self._now.status.totals)
            yield from _speed(self._now)
        yield from _monitor(self._now)
        yield from _watch(self._now)
        yield from _workers(self._now.status.workers)
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


def _pass(found: PassStatus) -> Iterator[Metric]:
    outcomes = ("uploaded", "duplicate", "skipped", "failed", "pending")
    yield _gauge(
        "migration_files",
        "Files of the newest pass, by what became of them.",
        ("outcome",),
        [((name,), getattr(found.counts, name)) for name in outcomes],
    )
    yield _gauge(
        "migration_failed_files",
        "Failed files of the newest pass, by reason.",
        ("reason",),
        [((reason,), n) for reason, n in found.failed.items()],
    )
    if found.total is not None:
        text = "Files the library listed when the pass was opened."
        yield _single("migration_expected_files", text, found.total)
    text = "Bytes uploaded in the newest pass."
    yield _single("migration_uploaded_bytes", text, found.bytes_uploaded)
    yield _single(
        "migration_pass_open",
        "1 while the newest pass is open.",
        float(found.closed_at is None),
    )


def _speed(now: Snapshot) -> Iterator[Metric]:
    yield _single(
        "migration_files_per_second",
        "Files settled per second, all workers together.",
        now.status.rate_files_per_min / 60,
    )
    if now.eta is not None:
        text = "Seconds to the end at the present rate."
        yield _single("migration_expected_end_seconds", text, now.eta.seconds)


def _monitor(now: Snapshot) -> Iterator[Metric]:
    found, monitor = now.status, now.status.monitor
    yield _single(
        "migration_monitor_up", "1 while the monitor runs.", float(monitor.alive)
    )
    yield _single(
        "migration_monitor_stale",
        "1 when nobody watches a migration that is not over.",
        float(monitor.stale and found.totals is not None),
    )
    if monitor.heartbeat_age_seconds is not None:
        yield _single(
            "migration_monitor_heartbeat_age_seconds",
            "Seconds since the monitor's last look.",
            monitor.heartbeat_age_seconds,
        )
    if found.disk_utilization_percent is not None:
        yield _single(
            "migration_disk_utilization_ratio",
            "How busy the library's disk is.",
            found.disk_utilization_percent / 100,
        )
    yield _single(
        "migration_state_disk_used_ratio",
        "How full the disk of the state directory is.",
        now.disk_used_percent / 100,
    )
    if found.desired_workers is not None:
        yield _single(
            "migration_workers_desired",
            "Workers that should run.",
            found.desired_workers,
        )


def _watch(now: Snapshot) -> Iterator[Metric]:
    watch = now.status.watch
    yield _single(
        "migration_watch_active",
        "1 while the monitor stays and looks at the library (--watch).",
        float(watch is not None and now.status.monitor.alive),
    )
    if watch is None:
        return
    yield _single(
        "migration_watch_trouble",
        "1 when the library cannot be read, or no pass can be run.",
        float(bool(watch.trouble)),
    )
    if watch.looked_age_seconds is not None:
        yield _single(
            "migration_watch_look_age_seconds",
            "Seconds since the library was last looked at.",
            watch.looked_age_seconds,
        )


#: One gauge per worker: its name after `migration_worker_`, help text, field of its
#: status, factor of the unit.
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


def _workers(workers: Sequence[WorkerStatus]) -> Iterator[Metric]:
    for name, text, field, factor in _OF_WORKER:
        known = [
            ((str(worker.worker_id),), float(value) * factor)
            for worker in workers
            if (value := getattr(worker, field)) is not None
        ]
        yield _gauge(f"migration_worker_{name}", text, ("worker",), known)
    phases = [
        ((str(worker.worker_id), phase.value), float(worker.status == phase.value))
        for worker in workers
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
