"""The audit of a pass, as its worker sees it: a child process, its findings, its end.

A child that fails is started once more. If that fails too, the pass is closed with the
difference "not audited": left open, a fault that stays would keep every later start
from ending, and nobody would be told. The next pass reads back what this one changed.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial

from migration.audit import messages
from migration.audit.child import AuditBroke, AuditChild
from migration.audit.findings import KINDS as KINDS
from migration.audit.findings import Finding, Kind
from migration.audit.messages import Order
from migration.audit.sampling import EVERYTHING, OFF
from migration.ledger.parts.pass_end import PassEnd
from migration.ledger.records import Audited, AuditState, Difference, Look

#: How often the audit is tried.
TRIES = 2
#: Seconds without a sign of life that are too long, besides the longest single wait.
SILENCE_SECONDS = 120.0


@dataclass(frozen=True, slots=True)
class AuditResult:
    """What was read back, and what differs."""

    audited: Audited
    differences: tuple[Difference, ...] = ()


@dataclass(frozen=True, slots=True)
class PassAudit:
    """Audits the passes of one ledger.

    `heed` may raise to stop; `moved` is called after each book with the numbers of the
    look, the try and the book, `waits` with what it waits for.
    """

    end: PassEnd
    order: Order
    log: logging.Logger
    heed: Callable[[], None]
    moved: Callable[[int, int, int], None]
    waits: Callable[[str], None]

    def __call__(self, look: Look) -> AuditResult:
        """Reads back what a pass changed, and what an earlier audit found.

        Raises what `heed` raises.
        """
        before = tuple(one for one in look.standing if one.kind in KINDS)
        order = self.order
        if self.end.has_changed_script(look.pass_id):
            self.log.warning(
                "A changed script has worked since the last audit: every book is read back"
            )
            order = replace(order, audit=EVERYTHING)
        elif not before and not self.end.has_changed_books(look.pass_id):
            return AuditResult(Audited())
        if order.audit == OFF:
            return AuditResult(Audited(AuditState.OFF), before)
        broke = ""
        for tried in range(TRIES):
            try:
                return self._told(order, partial(self.moved, look.number, tried))
            except AuditBroke as error:
                broke = str(error)
                self.log.warning("The audit failed: %s", broke)
        said = f"what the pass changed could not be read back: {broke}"
        told = [one for one in before if one.kind != Kind.NOT_AUDITED]
        return AuditResult(
            Audited(AuditState.BROKEN), (*told, Difference(Kind.NOT_AUDITED, said))
        )

    def _told(self, order: Order, moved: Callable[[int], None]) -> AuditResult:
        """Returns what one child tells. Raises AuditBroke."""
        waits = order.waits
        longest = 2 * (waits.answer_seconds + waits.task_seconds)
        child = AuditChild(order, SILENCE_SECONDS + longest, self.heed)
        found, audited, books = list[Difference](), Audited(AuditState.PROVED), 0
        for message in child.messages():
            match message:
                case messages.Begun(changed, chosen):
                    self.log.info(
                        "Reading back %d of %d changed books", chosen, changed
                    )
                    state = (
                        AuditState.PROVED if chosen == changed else AuditState.SAMPLED
                    )
                    audited = replace(
                        audited, state=state, changed=changed, read=chosen
                    )
                case messages.Checked(left):
                    audited = replace(audited, left=audited.left + left)
                    books += 1
                    moved(books)
                case messages.Waiting(why):
                    if why:
                        self.waits(why)
                        self.log.warning("The audit waits: %s", why)
                    else:
                        self.log.info("The audit goes on")
                case messages.Failed(why):
                    raise AuditBroke(why)
                case Finding():
                    found.append(_difference(message))
                case _:
                    pass
        return AuditResult(audited, tuple(found))


def _difference(finding: Finding) -> Difference:
    return Difference(finding.kind, finding.message, finding.book_id, finding.ebook_id)
