"""What the monitor records: history, state, evidence, samples."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from auto_monitor import ports
from auto_monitor.record import samples
from auto_monitor.record.action_log import ActionLog
from auto_monitor.record.evidence import EvidenceFolder
from auto_monitor.record.history import HistoryFile, history_path
from auto_monitor.record.samples import Sample
from auto_monitor.record.state_file import MonitorStateFile, state_path


@dataclass(frozen=True, slots=True)
class MonitorFiles:
    """The files of the monitor."""

    history: ports.History
    state_file: ports.StateFile
    evidence: ports.EvidenceStore
    keep_sample: Callable[[Sample], None]


def real(state_dir: Path, say: ActionLog) -> MonitorFiles:
    """Makes those of this state directory."""
    return MonitorFiles(
        history=HistoryFile(history_path(state_dir), tell=say.warning),
        state_file=MonitorStateFile(state_path(state_dir)),
        evidence=EvidenceFolder(state_dir),
        keep_sample=partial(samples.append, state_dir),
    )
