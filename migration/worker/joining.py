"""Binds a worker to its ledger and lets it join a pass."""

import hashlib
import json
from dataclasses import dataclass, replace

from migration.checks.adoption import adopt
from migration.ledger.current_pass import CurrentPass
from migration.ledger.scope import parse
from migration.metadata.compare import Prefer
from migration.model import Phase, Vocabulary
from migration.server import postgresql
from migration.worker import selecting, shelf_settings
from migration.worker.options import Options
from migration.worker.resources import Resources

#: The ledger's note of the server's languages and genres.
VOCABULARY = "vocabulary"


def bind(opened: Resources) -> None:
    """Binds the ledger to this library, server and user; applies --retry-failed.

    Under --adopt-library a restored library is adopted first. From then on the library
    is read by the selection. Raises WrongLedger, AnotherSelection, NotInLibrary or
    LibraryBusy.
    """
    if opened.options.adopt_library:
        opened.log.info("%s", adopt(opened.ledger, opened.library))
    opened.ledger.identity.bind(
        library=opened.library.uuid,
        server=opened.client.session.server,
        user=opened.client.session.user_id,
    )
    if opened.options.undo is not None:
        return
    selecting.choose(opened)
    shelf_settings.check(opened)
    _compare_again(opened)
    if opened.options.retry_failed:
        library = opened.library
        chosen = library.selected.those_of if library.narrowed else None
        opened.log.info(
            "%d failed files are pending again",
            opened.ledger.files.retry_failed(chosen),
        )


def _compare_again(opened: Resources) -> None:
    """Has books compared once more that this run carries otherwise than the last.

    They are compared with what was carried; the server is only asked about those that
    differ.
    """
    options, ledger = opened.options, opened.ledger
    vocabulary = replace(
        opened.client.known_vocabulary, synonyms=postgresql.synonyms_known(ledger)
    )
    kept = vocabulary_text(vocabulary)
    if ledger.note(VOCABULARY) != kept:
        # For --dry-run, which does not ask the server.
        ledger.note(VOCABULARY, kept)
    if ledger.carried.carry_with(carried_with(vocabulary, options)):
        opened.log.info(
            "The server's languages or genres, or the settings of what is carried, "
            "have changed: every book is compared with what was sent"
        )
    if options.prefer == Prefer.CALIBRE:
        ledger.carried.reopen_conflicts()
    if opened.client.session.is_superuser():
        # What an earlier run was not allowed to do.
        ledger.carried.reopen_shelves()


def carried_with(vocabulary: Vocabulary, options: Options) -> str:
    """Returns a hash of what shapes what is carried of a book."""
    shaping = (
        sorted(vocabulary.languages.items()),
        sorted(vocabulary.genres.items()),
        options.default_language,
        sorted(vocabulary.synonyms.items()),
        options.ratings,
        shelf_settings.choice_of(options),
    )
    return hashlib.sha1(repr(shaping).encode(), usedforsecurity=False).hexdigest()


def vocabulary_text(vocabulary: Vocabulary) -> str:
    """Returns the server's words as the ledger keeps them."""
    return json.dumps(
        {
            "languages": vocabulary.languages,
            "genres": vocabulary.genres,
            "synonyms": vocabulary.synonyms,
        },
        ensure_ascii=False,
        sort_keys=True,
    )


def vocabulary_of(text: str) -> Vocabulary | None:
    """Returns the words that the ledger keeps; None when it keeps none."""
    if not text:
        return None
    kept = json.loads(text)
    return Vocabulary(
        dict(kept["languages"]), dict(kept["genres"]), dict(kept.get("synonyms", {}))
    )


@dataclass(frozen=True, slots=True)
class Joining:
    """Joins the open pass, or opens one unless this worker only joins."""

    opened: Resources
    current: CurrentPass

    def join(self, highest: int, listed: int) -> bool:
        """Joins, given the library's highest book id and number of files.

        Returns False when there is no pass to join. Raises Stopping.
        """
        opened = self.opened
        may_open = opened.ledger.rebuilt or not opened.options.join_only
        scope = selecting.scope_of(opened.library) if may_open else ""
        if not self.current.join(
            highest, may_open=may_open, listed=listed, scope=scope
        ):
            opened.log.info("No pass is open and this worker only joins: nothing to do")
            return False
        selecting.agree(opened, self.current.id)
        if kept := parse(opened.ledger.passes.scope(self.current.id)):
            opened.log.info("Pass %d has a %s", self.current.id, kept)
        elif opened.options.delete_removed:
            opened.ledger.undoing.ask_removal(self.current.id)
        self._let_requests_settle()
        opened.tracker.set(run_id=self.current.id, status=Phase.DISCOVERING)
        return True

    def _let_requests_settle(self) -> None:
        """Waits until requests from before a rebuilt ledger can no longer be running.

        The ledger was lost and knows nothing of them.
        """
        opened = self.opened
        seconds = (opened.ledger.settles_at() - opened.clock()).total_seconds()
        if seconds > 0:
            opened.log.info(
                "The ledger was rebuilt; what was under way may end first, "
                "within %.0f s",
                seconds,
            )
            opened.tracker.set(status=Phase.WAITING)
            opened.pool.rest(seconds, opened.publish)
