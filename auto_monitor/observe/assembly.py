"""What the monitor observes: workers, the server, the disk, the ledger."""

from dataclasses import dataclass
from pathlib import Path

from auto_monitor import ports
from auto_monitor.config import Policies
from auto_monitor.observe import disk, server
from auto_monitor.observe.library import LibraryFiles
from auto_monitor.observe.workers import WorkerObserver
from auto_monitor.processes import Workers
from migration.ledger.watched import LedgerFile
from migration.state_files.names import LEDGER_NAME


@dataclass(frozen=True, slots=True)
class Observed:
    """Everything the monitor observes."""

    observer: ports.Observer
    server: ports.ServerProbe
    meter: ports.DiskMeter
    disk: ports.DiskProbe
    ledger: ports.LedgerReader
    library: ports.LibraryProbe


def real(
    state_dir: Path, library: Path, url: str, workers: Workers, limits: Policies
) -> Observed:
    """Makes them for this state directory, library and server."""
    return Observed(
        observer=WorkerObserver(state_dir, workers),
        server=server.HttpServerProbe(
            url, seconds=limits.probe_seconds, settling=limits.detection.stuck
        ),
        meter=disk.LibraryDiskMeter(
            library, seconds=round(limits.measuring.total_seconds())
        ),
        disk=disk.LibraryDiskProbe(library),
        ledger=LedgerFile(state_dir / LEDGER_NAME),
        library=LibraryFiles(library, seconds=limits.probe_seconds),
    )
