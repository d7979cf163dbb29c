"""The end of a migration as people are told it: one value, shown in three ways.

In the terminal and `monitor.log` (`auto_monitor/cli/end_text.py`), on the dashboard, in
the report. Everything that is said is said here; pure.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from auto_monitor.decide.ending import Ended
from common.errors import catalogue
from migration.ledger.records import AuditState
from migration.ledger.totals import Totals, undo_of
from migration.worker.progress.report import minutes_in_words, size_in_words

#: The section of the catalogue that explains what is left out.
_LEFT_OUT = "Left out, though nothing fails"
_LINK = re.compile(r"\[([^\]]+)\]\([^)]*\)")
#: What became of differences that people made on the server, by their kind.
_REPORTED = {
    "conflict": (
        "fields edited in Calibre and on the server: the server's value stays",
        "--prefer calibre sends Calibre's",
    ),
    "kept": ("fields edited on the server only: they stay", ""),
    "refused": (
        "fields of which the server does not take Calibre's value",
        "the report names each",
    ),
    "overwritten": (
        "fields edited in Calibre and on the server: Calibre's value was sent",
        "",
    ),
}


class Mood(StrEnum):
    """How it ended, as a colour would say it."""

    WELL = "well"
    PARTLY = "partly"  #: files failed, as files do
    BADLY = "badly"  #: somebody should look
    OPEN = "open"  #: it goes on, or can


@dataclass(frozen=True, slots=True)
class Counted:
    """So many of something, and what to do about it, if anything."""

    what: str
    n: int
    do: str = ""


@dataclass(frozen=True, slots=True)
class Failure:
    """Files that failed for one reason. `meant` says that this demo is made so."""

    reason: str
    n: int
    why: str
    do: str
    again: str
    meant: str
    examples: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Step:
    """What can be done next, and the command for it, "" for none."""

    what: str
    command: str = ""


@dataclass(frozen=True, slots=True)
class End:
    """The page. `first` is what went wrong; texts are plain, "" is not shown."""

    pass_id: int
    mood: Mood
    title: str
    first: tuple[str, ...]
    shelf: str
    login: str
    equation: str
    pace: str
    audit: str
    failures: tuple[Failure, ...]
    changed: tuple[Counted, ...]
    not_carried: tuple[Counted, ...]
    noticed: tuple[Counted, ...]
    next: tuple[Step, ...]
    report: str


@dataclass(frozen=True, slots=True)
class Commands:
    """Commands to paste; "" for one that makes no sense here."""

    start: str = ""
    retry: str = ""
    prefer: str = ""
    resume: str = ""
    stop: str = ""
    serve: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """What the page depends on.

    `proved` is None while the pass is open; `runs` says whether anything works on it,
    `stays` whether the monitor waits for changes (--watch); `ended` is the monitor's
    last word; `paused` are workers, `troubles` what is wrong with workers that stand;
    `reported` are differences by kind; `examples` are failed files by reason; `meant`
    are failures that a demo is made to have.
    """

    found: Totals
    now: datetime
    proved: bool | None
    runs: bool = False
    stays: bool = False
    ended: str = ""
    paused: Sequence[int] = ()
    troubles: Sequence[str] = ()
    reported: Mapping[str, int] = field(default_factory=dict)
    examples: Mapping[str, Sequence[str]] = field(default_factory=dict)
    meant: Mapping[str, int] = field(default_factory=dict)
    changed_script: str = ""
    server: str = ""
    login: str = ""
    report: str = ""
    commands: Commands = field(default_factory=Commands)

    @property
    def closed(self) -> bool:
        """Whether the pass is closed."""
        return self.found.closed_at is not None

    @property
    def unmeant(self) -> int:
        """The number of failures that no demo is made to have."""
        failed = self.found.failed.items()
        return sum(max(0, n - self.meant.get(reason, 0)) for reason, n in failed)


def end_page(facts: Facts) -> End:
    """Returns the page."""
    found = facts.found
    if found.undoes is not None:
        return _of_undo(facts)
    return End(
        pass_id=found.pass_id,
        mood=_mood(facts),
        title=_title(facts),
        first=tuple(_first(facts)),
        shelf=facts.server,
        login=facts.login,
        equation=_equation(facts),
        pace=_pace(facts),
        audit=_audit(found) if facts.closed else "",
        failures=tuple(_failures(facts)),
        changed=tuple(_changed(facts)),
        not_carried=_by_number(found.not_carried),
        noticed=_noticed(found),
        next=tuple(_next(facts)),
        report=facts.report,
    )


def _of_undo(facts: Facts) -> End:
    """Returns the page of a pass that took another one back."""
    found = facts.found
    stays = tuple(Counted(f"stays: {why}", n) for why, n in sorted(found.stays.items()))
    goes_on = "" if facts.closed else f"--undo {found.undoes}"
    step = (Step(f"To go on with it: the same command ({goes_on})"),) if goes_on else ()
    return End(
        pass_id=found.pass_id,
        mood=Mood.WELL if facts.closed else Mood.OPEN,
        title=undo_of(found),
        first=(),
        shelf=facts.server,
        login=facts.login,
        equation="",
        pace="",
        audit="",
        failures=(),
        changed=stays,
        not_carried=(),
        noticed=(),
        next=step,
        report=facts.report,
    )


# -- how it ended ----------------------------------------------------------------------


def _mood(facts: Facts) -> Mood:
    if not facts.closed:
        hopeless = facts.ended == Ended.HOPELESS or bool(facts.paused)
        return Mood.BADLY if hopeless and not facts.runs else Mood.OPEN
    if facts.found.differences or not facts.proved:
        return Mood.BADLY
    return Mood.PARTLY if facts.unmeant or facts.paused else Mood.WELL


def _title(facts: Facts) -> str:
    found = facts.found
    counts = found.counts
    if not facts.closed:
        return _title_of_open(facts)
    if found.differences:
        number = sum(found.differences.values())
        stand = "stands" if number == 1 else "stand"
        return f"Done, but {_files(number, 'difference')} {stand} on the server"
    if not facts.proved:
        return "Done, but the numbers do not agree"
    if not counts.discovered:
        return "Done: there was no file to migrate"
    there = counts.uploaded + counts.duplicate
    if not counts.failed:
        all_ = "all " if not counts.skipped and there > 1 else ""
        return f"Done: {all_}{_files(there)} on your shelf"
    gone = f"{_files(counts.failed)} did not go"
    if not facts.unmeant:
        gone += ", as this demo is made to show"
    return f"Done: {_files(there)} on your shelf; {gone}"


def _title_of_open(facts: Facts) -> str:
    if facts.runs:
        return f"Under way: {_settled(facts.found)}"
    why = {
        Ended.LIMIT: "the limit is reached (--limit)",
        Ended.TIME_IS_UP: "the time is up (--max-duration)",
        Ended.STOPPED: "it was stopped",
        Ended.HOPELESS: "no worker can go on",
    }.get(Ended.known(facts.ended), "nobody works on it now")
    return f"Not done: {why}. {_settled(facts.found)}; the pass stays open"


def _settled(found: Totals) -> str:
    done = found.counts.discovered - found.counts.pending
    if found.total is None:
        return f"{_files(done)} have their outcome"
    return f"{done:,} of {_files(found.total)} have their outcome"


def _files(number: int, what: str = "file") -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _first(facts: Facts) -> Iterator[str]:
    """Yields what went wrong."""
    found = facts.found
    if facts.closed and not facts.proved:
        yield (
            "The rows of the ledger do not agree with its counters: please report this."
        )
    if found.differences and facts.closed:
        kinds = ", ".join(
            f"{n} {kind}" for kind, n in sorted(found.differences.items())
        )
        yield (
            f"On the server stands what should not ({kinds}): the report and the "
            "workers' logs name each, docs/errors.md says what to do."
        )
    if facts.paused:
        several = len(facts.paused) > 1
        names = ", ".join(map(str, facts.paused))
        it = "they" if several else "it"
        rest = (
            f"others did what {it} could not"
            if facts.closed
            else f"what {it} had in hand is not done"
        )
        yield (
            f"Worker{'s' if several else ''} {names} {'are' if several else 'is'} "
            f"paused, because no attempt has helped: {rest}."
        )
    if not facts.closed and not facts.runs:
        yield from facts.troubles
    if facts.changed_script:
        yield facts.changed_script


def _equation(facts: Facts) -> str:
    counts = facts.found.counts
    proved = ""
    if facts.closed:
        proved = " (proved row by row)" if facts.proved else " (THE ROWS DO NOT AGREE)"
    so_far = "" if facts.closed else " found so far"
    return (
        f"{_files(counts.discovered)}{so_far} = {counts.uploaded:,} uploaded + "
        f"{counts.duplicate:,} there already + {counts.skipped:,} skipped + "
        f"{counts.failed:,} failed + {counts.pending:,} pending{proved}"
    )


def _pace(facts: Facts) -> str:
    found, minutes = facts.found, facts.found.minutes(facts.now)
    settled = found.counts.discovered - found.counts.pending
    rate = f", {settled / minutes:,.0f} files/min" if minutes else ""
    size = size_in_words(found.bytes_uploaded)
    return f"{size} uploaded in {minutes_in_words(minutes)}{rate}"


def _audit(found: Totals) -> str:
    audited = found.audited
    books = _files(audited.changed, "changed book")
    left = (
        f"; {audited.left:,} of them changed in Calibre since: the next pass's work"
        if audited.left
        else ""
    )
    return {
        AuditState.PROVED: f"Read back from the server: all {books}{left}.",
        AuditState.SAMPLED: f"Read back from the server: {audited.read:,} of {books}, "
        f"chosen at random{left}.",
        AuditState.OFF: "Nothing was read back from the server (--audit off).",
        AuditState.BROKEN: "Nothing was read back from the server: the audit failed.",
    }.get(audited.state, "")


# -- what did not go -------------------------------------------------------------------


def _failures(facts: Facts) -> Iterator[Failure]:
    for reason, n in _sorted(facts.found.failed):
        entry = next((one for one in catalogue.entries() if one.reason == reason), None)
        meant = facts.meant.get(reason, 0) >= n
        yield Failure(
            reason,
            n,
            plain(entry.why) if entry else "",
            plain(entry.do) if entry else "",
            plain(entry.again) if entry else "",
            "meant to be refused: the demo shows what that looks like" if meant else "",
            tuple(facts.examples.get(reason, ())),
        )


def _changed(facts: Facts) -> Iterator[Counted]:
    """Yields what was sent again, and what people had changed on the server."""
    updated = dict(facts.found.updated)
    books = updated.pop("book", 0)
    if books or updated:
        fields = ", ".join(
            f"{name.replace('_', ' ')} {n}" for name, n in _sorted(updated)
        )
        yield Counted(f"books updated{f' ({fields})' if fields else ''}", books)
    if facts.found.replaced:
        yield Counted("files replaced by Calibre's newer ones", facts.found.replaced)
    for kind, (what, do) in _REPORTED.items():
        if n := facts.reported.get(kind, 0):
            yield Counted(what, n, do)
    for kind, n in sorted(facts.found.deleted.items()):
        yield Counted(f"{kind}: removed in Calibre, deleted on the server", n)
    if stays := sum(facts.found.stays.values()):
        yield Counted("removed in Calibre, stay on the server", stays)


def _by_number(counts: Mapping[str, int]) -> tuple[Counted, ...]:
    return tuple(Counted(what, n) for what, n in _sorted(counts))


def _noticed(found: Totals) -> tuple[Counted, ...]:
    remedies = {
        notice.says.strip("`"): plain(notice.do)
        for section in catalogue.sections()
        if section.title == _LEFT_OUT
        for notice in section.notices
    }
    orphans = Counted("uploads left to the server's clean-up", found.orphaned_uploads)
    return (
        *(
            Counted(what, n, remedies.get(what, ""))
            for what, n in _sorted(found.noticed)
        ),
        *((orphans,) if orphans.n else ()),
    )


def _sorted(counts: Mapping[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: (-item[1], item[0]))


def plain(text: str) -> str:
    """Returns a text of the catalogue without marks of Markdown."""
    text = _LINK.sub(r"\1 in docs/errors.md", text)
    return text.replace("`", "").replace("*", "")


# -- what next -------------------------------------------------------------------------


def _next(facts: Facts) -> Iterator[Step]:
    commands = facts.commands
    if facts.paused and commands.resume:
        yield Step("To let a paused worker try again", commands.resume)
    if facts.runs and not facts.closed:
        return
    if facts.closed and facts.stays:
        yield Step("The monitor stays, and carries what changes in Calibre by itself")
    elif facts.closed:
        yield Step(
            "After a change in Calibre, for what has changed only", commands.start
        )
    else:
        yield Step("To go on from here", commands.start)
    if facts.unmeant and facts.closed:
        yield Step("To try the failed files again", commands.retry)
    if facts.reported.get("conflict") and commands.prefer:
        yield Step("To send Calibre's values where both sides changed", commands.prefer)
    if commands.stop:
        yield Step("To stop the server", commands.stop)
    if commands.serve:
        yield Step("To look at the books, whose server is stopped", commands.serve)
