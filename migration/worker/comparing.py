"""When every book is compared once more: what shapes what is carried has changed."""

import hashlib
import json
from dataclasses import replace

from migration.metadata.compare import Prefer
from migration.model import Vocabulary
from migration.server import postgresql
from migration.worker import shelf_settings
from migration.worker.options import Options
from migration.worker.resources import Resources

#: The ledger's note of the server's languages and genres.
VOCABULARY = "vocabulary"


def again(opened: Resources) -> None:
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
