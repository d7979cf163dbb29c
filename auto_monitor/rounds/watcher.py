"""The rounds between two passes, under `--watch`: look at the library, open a pass."""

from dataclasses import dataclass, field, replace
from datetime import datetime

from auto_monitor.decide import watching
from auto_monitor.decide.watching import Library, Step, WatchPolicy
from auto_monitor.model import WatchRecord
from auto_monitor.ports import Alerts, Clock, LibraryProbe, PassOpener
from auto_monitor.record.action_log import ActionLog
from auto_monitor.record.memory import Memory
from common.sanitize import for_log
from migration.ledger.totals import Totals

#: What people know of the library begins with this.
_LIBRARY = "library"


@dataclass(slots=True)
class Watcher:
    """Looks at the library and has passes opened.

    `ready` means that a pass was opened and waits for its workers. `wall` is the clock
    for display.
    """

    library: LibraryProbe
    opener: PassOpener
    memory: Memory
    action_log: ActionLog
    alerts: Alerts
    wall: Clock
    policy: WatchPolicy
    known: Library = field(default_factory=Library)
    ready: bool = False
    _mark: str = ""
    _newest: str = ""
    _stirred: bool = False
    _told: str = ""

    def begin(
        self, left: WatchRecord | None, newest: Totals | None, asked: str, mark: str
    ) -> None:
        """Begins to watch.

        `left` is what an earlier monitor remembered of the newest pass. Without it, or
        when something else is asked for now, the pass began with a library of `mark`,
        "" when that is not known.
        """
        known = left is not None and left.asked == asked
        carried = left.carried if left is not None and known else mark
        self.known = Library(carried=carried)
        self._describe(newest)
        record = WatchRecord(self.policy.every.total_seconds(), carried, asked)
        self.memory.change(watch=record)
        self.action_log.info(
            "Watching the library: a look every %g s, and at once when it is changed "
            "on this machine; a pass when it was left alone for %g s",
            self.policy.every.total_seconds(),
            self.policy.quiet.total_seconds(),
        )

    def soon(self, now: datetime) -> bool:
        """Whether something is due before the next round. Cheap."""
        if self.opener.runs:
            return self.opener.over
        self._stirred = self.library.stirred() or self._stirred
        return self._stirred or watching.is_due(self.known, now, self.policy)

    def look(self, now: datetime) -> None:
        """One round: looks when it is due, opens a pass when it is time to."""
        self._stirred = self.library.stirred() or self._stirred
        if self.opener.runs or not (
            self._stirred or watching.is_due(self.known, now, self.policy)
        ):
            return
        before = self.known
        stirred, self._stirred = self._stirred, False
        seen = self.library.look()
        self.known = watching.noted(before, seen, now, stirred=stirred)
        self._say(now)
        if watching.step(self.known, now, self.policy) is Step.PASS:
            self._open(seen.mark, now)
        self._show(now)

    def _open(self, mark: str, now: datetime) -> None:
        self.action_log.act("Opening a pass: the library has changed and is quiet")
        # A pass that goes on has begun with the library as it was then.
        self._mark = self.known.carried if self.known.owed else mark
        try:
            self.opener.start()
        except OSError as error:
            self.refuse(f"a pass cannot be opened: {error.strerror}", now, owed=False)

    def hear(self, now: datetime) -> None:
        """Looks whether the process that opens a pass has ended, if one runs."""
        ended = self.opener.result() if self.opener.runs else None
        if ended is None:
            return
        if ended.code == 0:
            self.known = watching.opened(self.known, self._mark)
            self.ready = True
            return
        said = ended.said or f"the worker ended with status {ended.code}"
        self.refuse(
            f"A pass cannot be opened: {for_log(said)}",
            now,
            key=f"opening {ended.code}",
            owed=False,
        )

    def _say(self, now: datetime) -> None:
        """Logs what has changed since the last look; alerts when trouble lasts."""
        known = self.known
        text = watching.said(known, self._newest, self.policy)
        self.action_log.once("watch", f"Looked at the library: {text}")
        lasting = watching.alarm(known, now, self.policy)
        if lasting:
            self._tell(
                f"{_LIBRARY} {lasting}",
                f"The library cannot be read: {lasting}; it is waited for",
            )
        elif not known.trouble and self._told.startswith(_LIBRARY):
            self._told = ""
            self._note(trouble="")

    def _tell(self, key: str, text: str) -> None:
        """Alerts people, once for each trouble."""
        record = self.memory.state.watch
        known = record is not None and record.trouble == text
        self._note(trouble=text)
        if key != self._told:
            self._told = key
            self.alerts.tell(text)
        elif not known:
            self.action_log.warning("%s", text)

    def refuse(self, text: str, now: datetime, *, owed: bool, key: str = "") -> None:
        """A pass could not be opened or worked on: told once, tried again later.

        Not told while somebody writes the library, which may be the reason: then it is
        tried again as soon as that is over.
        """
        if self.unsettled():
            seen = self.library.look()
            known = watching.noted(self.known, seen, now, stirred=True)
            self.known = replace(known, owed=known.owed or owed)
            self.action_log.warning("%s; the library is being changed", text)
            self._show(now)
            return
        self.known = watching.refused(self.known, now, owed=owed)
        self._tell(
            key or text,
            f"{text}. Tried again at the next look, and when the library changes",
        )
        self._show(now)

    def unsettled(self) -> bool:
        """Whether the library cannot be read now, or is not as it was last seen."""
        seen, before = self.library.look(), self.known.seen
        return not seen.mark or (before is not None and before.mark != seen.mark)

    @property
    def told(self) -> bool:
        """Whether people know already that something is wrong."""
        return bool(self._told)

    def working(self, found: Totals, *, ours: bool) -> None:
        """Workers are at a pass from now on.

        With what it was opened is known only of one that this monitor had opened.
        """
        self.ready = False
        self.known = watching.opened(self.known, self.known.carried if ours else "")
        self._note(
            carried=self.known.carried,
            found=f"pass {found.pass_id} is under way",
            trouble="",
            next_look_at=None,
        )

    def closed(self, found: Totals, now: datetime) -> None:
        """The pass is closed: looks at once, for what was changed meanwhile."""
        self._told = ""
        self._describe(found)
        self.look(now)

    def finish(self) -> None:
        """Ends what runs."""
        self.opener.close()
        self.library.close()

    def _describe(self, newest: Totals | None) -> None:
        closed = newest is not None and newest.closed_at is not None
        self._newest = (
            f"pass {newest.pass_id} ({watching.came_to(newest)})"
            if newest is not None and closed
            else ""
        )

    def _show(self, now: datetime) -> None:
        """Notes for display what was found, and when the next look is due."""
        due = watching.next_look(self.known, self.policy)
        text = watching.said(self.known, self._newest, self.policy)
        opening = "a pass is being opened" if self.opener.runs else text
        wall = self.wall()
        self._note(
            looked_at=wall,
            found=opening,
            next_look_at=None if due is None else wall + (due - now),
        )

    def _note(self, **fields: object) -> None:
        record = self.memory.state.watch or WatchRecord(
            self.policy.every.total_seconds()
        )
        # `replace` checks the names.
        self.memory.change(watch=replace(record, **fields))  # type: ignore[arg-type]
