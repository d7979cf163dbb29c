"""The pass that one worker process takes part in."""

from migration import release
from migration.ledger.ledger import Ledger


class CurrentPass:
    """The pass the process has joined; `id` is 0 before that.

    `rebuilt` means that the ledger was lost before this pass, so the server may have
    ebooks of ours that the ledger does not know.
    """

    def __init__(self, ledger: Ledger, changed_script: str = "") -> None:
        """`changed_script` is the hash of the worker's script, "" for the released one."""
        self._ledger = ledger
        self._changed_script = changed_script
        self.id = 0
        #: Whether there was nothing to join.
        self.none_open = False
        self.rebuilt = False

    def join(
        self, highest_id: int, *, may_open: bool, listed: int, scope: str = ""
    ) -> bool:
        """Joins the open pass, or opens one if there is none and this worker may.

        `listed` is how many files the library has, `scope` which books a new pass is
        about. Returns False when there is nothing to join.
        """
        joined = self._ledger.passes.join(
            highest_id, may_open=may_open, listed=listed, scope=scope
        )
        self.none_open = joined is None
        if joined is None:
            return False
        self._ledger.carried.carry_by(self._changed_script or release.SHIPPED)
        if self._changed_script:
            self._ledger.end.note_changed_script(joined, self._changed_script)
        self.id = joined
        self.rebuilt = self._ledger.rebuilt
        return True

    def count_orphan(self) -> None:
        """Counts an upload that is never attached.

        The server cleans it up by itself.
        """
        self._ledger.passes.tally(self.id, "orphaned", "upload")
