"""What a person does about the worker script: a proposal applied, a fix taken back.

The monitor need not run. What runs keeps its script until it is started again; a worker
that hangs on an older one is restarted by the monitor, unasked.
"""

from dataclasses import replace
from pathlib import Path

from auto_monitor import fix_applier
from auto_monitor.decide.changed import commands
from auto_monitor.decide.diagnosis import FixType
from auto_monitor.fix_applier import FixRefused, Workshop
from auto_monitor.model import Afterwards, CodeChanges, HistoryEntry, Trigger
from auto_monitor.record.history import HistoryFile, history_path
from common.clock import utc_now
from common.files.json_files import read_json
from common.hints import hint
from common.sanitize import for_log

#: The ending of a whole script that a roll-back has kept among the proposals.
_WHOLE = ".taken-back"


def roll_back(script: Path, state_dir: Path) -> str:
    """Restores the newest backup of the script; returns a message.

    Raises FixRefused or OSError.
    """
    history = HistoryFile(history_path(state_dir))
    ours = {entry.script_after or "" for entry in history.entries() if entry.promoted}
    name = fix_applier.roll_back(script, state_dir, ours)
    history.mark_rolled_back(name, utc_now())
    kept = fix_applier.folder_of(state_dir, "proposals")
    return (
        f"{script} is the backup {name} again; what it was is in {kept}. "
        f"{_restart(state_dir)}\n"
    )


def difference(script: Path, project: Path, state_dir: Path) -> str:
    """Returns what the script in place differs in from the release; a message.

    Raises FixRefused or OSError.
    """
    name, shipped = fix_applier.release_of(script, project, state_dir)
    found = fix_applier.diff(shipped, script.read_text("utf-8"))
    if not found:
        return f"{script} is the released one.\n"
    since = [
        f"{entry.timestamp}: {for_log(entry.root_cause)}"
        for entry in HistoryFile(history_path(state_dir)).entries()
        if entry.promoted and not entry.rolled_back
    ]
    told = "".join(f"code fix of {one}\n" for one in since)
    return (
        f"{script} differs from the release ({name}):\n{told}\n{found}\n\n"
        f"{fix_applier.how_to_keep(script, _commands(state_dir))}.\n"
    )


def apply(workshop: Workshop, proposal: str) -> str:
    """Puts a proposed change in place, as a person asks; returns a message.

    It is edited, guarded and passes the gate as every code fix; only the trial on a
    worker is left out, and the gate where there is no sandbox. Raises FixRefused,
    StateUnwritable or OSError.
    """
    script, state_dir = workshop.script, workshop.state_dir
    path = fix_applier.folder_of(state_dir, "proposals") / Path(proposal).name
    cause, change = _proposed(path)
    made = workshop.as_asked(change, whole=path.name.endswith(_WHOLE))
    history = HistoryFile(history_path(state_dir))
    entry = HistoryEntry(
        timestamp=utc_now().isoformat(),
        worker_id=0,
        attempt=0,
        trigger=Trigger.BY_HAND.value,
        minutes_stuck=0.0,
        status_before="",
        root_cause=cause,
        fix_type=FixType.CODE_FIX.value,
        description=f"a person applied {path.name}",
        code_changes=CodeChanges("\n".join(made.diff.splitlines()[:10]), made.diff),
        backup=made.backup,
        script_before=made.before,
        script_after=made.after,
        validation=made.validation,
        reason="a person puts it in place",
        afterwards=Afterwards.RELEASED,
    )
    # Before the script is changed: whoever finds it changed, finds by whom.
    history.record(entry, utc_now())
    try:
        fix_applier.promote(script, state_dir, made)
    except fix_applier.NotOurs as error:
        raise FixRefused(str(error)) from None
    done = replace(
        entry, applied=True, promoted=True, reason="a person has put it in place"
    )
    history.record(done, utc_now())
    if path.name.endswith(fix_applier.BEFORE_UPDATE):
        # It is not one that waits for a person any more.
        path.rename(path.with_name(f"{path.name}.applied"))
    return (
        f"{made.diff}\n\n{script} is changed ({made.validation}); backup {made.backup}. "
        f"{fix_applier.how_to_keep(script, _commands(state_dir))}. {_restart(state_dir)}\n"
    )


def _commands(state_dir: Path) -> str:
    return commands(lambda name: hint(name, state_dir=state_dir))


def _restart(state_dir: Path) -> str:
    stop, start = (hint(name, state_dir=state_dir) for name in ("stop", "start"))
    return (
        "Workers that run keep what they have until they are started again: "
        f"{stop}, {start}"
    )


def _proposed(path: Path) -> tuple[str, str]:
    """Returns the root cause and the change of a proposal. Raises FixRefused."""
    if path.name.endswith(_WHOLE) and path.is_file():
        return f"{path.name} was taken back", path.read_text("utf-8")
    value = read_json(path)
    change = value.get("code") if isinstance(value, dict) else None
    if not isinstance(change, str) or not change:
        there = sorted((one.name for one in path.parent.glob("*")), reverse=True)
        raise FixRefused(
            f"{path} holds no change; there are: {', '.join(there[:10]) or 'none'}"
        )
    cause = value.get("root_cause") if isinstance(value, dict) else ""
    return for_log(str(cause)), change
