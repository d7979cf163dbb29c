"""The end of a migration, read from a state directory. Writes nothing."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from auto_monitor import config
from auto_monitor.act import final_report
from auto_monitor.cli import end_text, status
from auto_monitor.cli.status import Status
from auto_monitor.cli.trouble import troubles
from auto_monitor.decide.end_page import Commands, End, Facts, end_page
from auto_monitor.record.action_log import ActionLog
from common.clock import utc_now
from common.files.json_files import read_json
from common.hints import hint
from common.state_dir import EMBEDDED, Place, state_root
from migration.ledger import edits, failed, totals
from migration.ledger.totals import Totals
from migration.state_dirs import places
from migration.state_files import embedded
from migration.state_files.names import LEDGER_NAME

_DEMO = config.PROJECT / "demo"
#: Failed files that are named, for each reason.
EXAMPLES = 3


def log(state_dir: Path, say: ActionLog) -> None:
    """Logs the page of the newest pass, on which nothing works any more."""
    try:
        found = read(state_dir, utc_now(), runs=False)
    except totals.UNREADABLE as error:
        say.warning("How the pass has ended cannot be read now: %s", error)
        return
    if found is not None:
        say.show(end_text.as_text(found))


def read(
    state_dir: Path,
    now: datetime,
    pass_id: int | None = None,
    *,
    runs: bool | None = None,
) -> End | None:
    """Returns the page of a pass, by default the newest; None when there is no pass.

    `runs` says whether anything works on it, by default what is seen. Raises what
    `totals.read` does.
    """
    ledger = state_dir / LEDGER_NAME
    value = status.collect(state_dir, now)
    newest = None if value.totals is None else value.totals.pass_id
    found = totals.read(ledger, pass_id)
    if found is None:
        return None
    is_newest = found.pass_id == newest
    working = value.monitor.alive or any(worker.lives for worker in value.workers)
    paused = _paused(value) if is_newest else []
    place, serves = places.at(state_dir), embedded.running_url(state_dir / "bookshelf")
    return end_page(
        Facts(
            found=found,
            now=now,
            proved=totals.proved(ledger, found.pass_id) if found.closed_at else None,
            runs=is_newest and (working if runs is None else runs),
            ended=value.monitor.ended if is_newest else "",
            paused=paused,
            troubles=troubles(value.workers) if is_newest else (),
            reported=edits.counts(ledger, found.pass_id),
            examples=_examples(ledger, found),
            meant=_meant(value.library or ""),
            changed_script=value.changed_script if is_newest else "",
            server=serves or value.server or "",
            login=_login(state_dir),
            report=str(kept_report(state_dir, found.pass_id) or ""),
            commands=_commands(place, value.library or "", paused, serves=bool(serves)),
        )
    )


def kept_report(state_dir: Path, pass_id: int) -> Path | None:
    """Returns the report of a pass that is kept in the state directory."""
    path = final_report.folder_of(state_dir, pass_id) / final_report.PAGE
    return path if path.is_file() else None


def _paused(value: Status) -> list[int]:
    return [
        one.worker_id for one in value.workers if one.paused and not one.paused_by_hand
    ]


def _examples(ledger: Path, found: Totals) -> Mapping[str, Sequence[str]]:
    rows = failed.examples(ledger, found.pass_id, found.failed, EXAMPLES)
    return {
        reason: [
            f"book {row.file.book_id}, {row.file.format}: {row.message}"
            for row in named
        ]
        for reason, named in rows.items()
    }


def _meant(library: str) -> Mapping[str, int]:
    """Returns the failures that the demo's library is made to have."""
    if not library or Path(library).resolve() != _DEMO / "library":
        return {}
    expected = read_json(_DEMO / "expected.json")
    first = expected.get("first_run") if isinstance(expected, dict) else None
    meant = first.get("failed") if isinstance(first, dict) else None
    if not isinstance(meant, dict):
        return {}
    return {reason: n for reason, n in meant.items() if isinstance(n, int)}


# -- the server, and what to type ------------------------------------------------------


def _login(state_dir: Path) -> str:
    path = state_dir / "bookshelf" / "credentials"
    return str(path) if path.is_file() else ""


def _commands(
    place: Place | None, library: str, paused: Sequence[int], *, serves: bool
) -> Commands:
    """Returns the commands for this migration; `serves`: its own server runs."""
    if place is None:
        return Commands()
    state_dir = place.state_dir
    begin = _how_to_begin(place, library)
    return Commands(
        start=hint("start", *begin.words, state_dir=begin.state_dir),
        prefer=hint(
            "start", *begin.words, "--prefer", "calibre", state_dir=begin.state_dir
        ),
        retry=hint("retry", state_dir=state_dir),
        resume=hint("resume", str(paused[0]), state_dir=state_dir) if paused else "",
        stop=hint("stop", state_dir=state_dir) if serves else "",
        serve=hint("serve", state_dir=state_dir)
        if place.server == EMBEDDED and not serves
        else "",
    )


@dataclass(frozen=True, slots=True)
class _Begin:
    """The words that begin this migration again; a directory that must be named."""

    words: tuple[str, ...]
    state_dir: Path | None = None


def _how_to_begin(place: Place, library: str) -> _Begin:
    if place.state_dir == _DEMO / "state":
        return _Begin(("--demo",))
    words = ["--library", place.library or library or "DIR"]
    if place.server != EMBEDDED:
        words += ["--server", place.server_url or "URL"]
    root = state_root(os.environ)
    found_alone = root is not None and place.state_dir.parent == root
    return _Begin(tuple(words), None if found_alone else place.state_dir)
