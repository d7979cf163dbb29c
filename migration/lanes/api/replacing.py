"""Files that Calibre has replaced: their old source goes once the new one is there.

"Embed metadata" and "Polish" rewrite a book's files. The new bytes are attached like
any file; only then is the source that we made for the old ones deleted, so that there
is never less than one copy on the server, and never two at the end.
"""

from dataclasses import dataclass

from migration.errors import Rejected
from migration.ledger.ledger import Ledger
from migration.ledger.records import FileState, Replaced
from migration.model import ARRIVED, Outcome
from migration.server.client import BookshelfClient
from migration.server.payloads import Ebook


@dataclass(frozen=True, slots=True)
class Replacer:
    """Deletes replaced sources. Thread-safe; everything may be done twice."""

    client: BookshelfClient
    ledger: Ledger

    def settle(self, ebook: Ebook, replaced: list[Replaced]) -> list[str]:
        """Deletes the book's replaced sources where that is safe.

        `ebook` was read after the new files were attached. Returns, for each source
        that stays, why. Raises Transient.
        """
        kept = []
        for old in replaced:
            now = self.ledger.carried.file(old.file)
            if now is None or now.outcome is Outcome.PENDING:
                continue
            if now.digest == old.digest:
                self.ledger.carried.restore_source(old)
                continue
            why = self._why_kept(ebook, old, now) or self._delete(ebook, old)
            if why:
                kept.append(f"the old {old.file.format} stays on the server: {why}")
        return kept

    def _why_kept(self, ebook: Ebook, old: Replaced, now: FileState) -> str:
        """Returns why the old source must stay, or ""."""
        if now.outcome not in ARRIVED or now.digest is None:
            return "the new one has not arrived"
        shown = {source_id: size for source_id, _name, size in ebook.sources}
        if now.source_id is None or shown.get(now.source_id) != now.digest.size:
            return "the new one is not in this ebook"
        others = self.ledger.carried.borrowers(old.digest, old.file)
        if others:
            named = ", ".join(str(number) for number in others[:5])
            return f"it is also the file of book {named}"
        if self.client.check(now.digest, old.file.format.lower()) is None:
            return "the server does not confirm the new one"
        return ""

    def _delete(self, ebook: Ebook, old: Replaced) -> str:
        """Deletes the old source; returns why the server does not, or ""."""
        held = {
            source_id: (name.upper(), size) for source_id, name, size in ebook.sources
        }
        found = held.get(old.source_id)
        if found is not None and found != (old.file.format, old.digest.size):
            return "somebody else's file has its number now"
        if found is not None:
            try:
                self.client.delete_source(old.source_id)
            except Rejected as refusal:
                return str(refusal)
        self.ledger.carried.replaced_is_gone(old)
        return ""
