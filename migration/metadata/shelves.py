"""Which shelves a book belongs on, and what to do about it. Pure.

MyBookshelf2 has no place for tags without a genre and for custom columns; shelves are
where its users look. Items we made follow Calibre; those of people are never touched.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from common.json_value import Json
from common.plain_text import plain_text
from common.sanitize import sanitize_text
from migration.model import Book, EbookMetadata, ItemId, ShelfId

#: The longest name of a shelf, and the longest note MyBookshelf2's own pages take.
NAME_LENGTH, NOTE_LENGTH = 256, 10_000
TAGS, COMMENTS, NONE = "tags", "comments", "none"
#: Custom columns that can be shelves, by Calibre's `datatype`.
COLUMN_TYPES = frozenset({"bool", "enumeration", "text", "series"})


@dataclass(frozen=True, slots=True)
class ShelfChoice:
    """What becomes shelves, as the settings say.

    `columns` are labels with their `#`; `notes` means that comments are the items'
    notes. New shelves are private unless `public`.
    """

    tags: bool = True
    notes: bool = True
    columns: tuple[str, ...] = ()
    public: bool = False

    @property
    def any(self) -> bool:
        """Whether anything becomes a shelf; if not, nobody's shelves are touched."""
        return self.tags or bool(self.columns)


def chosen(
    words: Iterable[str], columns: Iterable[str], *, public: bool
) -> ShelfChoice:
    """Returns the choice of `--shelves`, `--shelf-column` and `--public-shelves`."""
    given = tuple(words)
    labels = [*(word for word in given if word.startswith("#")), *columns]
    return ShelfChoice(
        TAGS in given, COMMENTS in given, tuple(dict.fromkeys(labels)), public
    )


@dataclass(frozen=True, slots=True)
class Wanted:
    """The shelves a book belongs on by name, the note of its items.

    `carried` are names of fields that are whole there, so they are not "not carried".
    """

    names: frozenset[str] = frozenset()
    note: str = ""
    carried: frozenset[str] = frozenset()


def wanted(
    book: Book,
    metadata: EbookMetadata,
    choice: ShelfChoice,
    column_names: Mapping[str, str],
) -> Wanted:
    """Returns where a book belongs.

    `column_names` are the names of custom columns by label: a yes/no column is a shelf
    of its name, any other a shelf per value.
    """
    found: list[str] = []
    carried = set[str]()
    tags = metadata.not_carried.get("tags")
    if choice.tags and isinstance(tags, list):
        found += _names(tags, whole=(TAGS, carried))
    for label in choice.columns:
        if label in book.extras:
            value = book.extras[label]
            named: Json = column_names.get(label, label[1:]) if value is True else value
            values: list[Json] = named if isinstance(named, list) else [named]
            found += _names(values, whole=(label, carried))
    note, whole = _note(book) if choice.notes and found else ("", False)
    if whole:
        carried.add(COMMENTS)
    return Wanted(frozenset(found), note, frozenset(carried))


def _names(values: list[Json], *, whole: tuple[str, set[str]]) -> list[str]:
    """Returns values as names of shelves.

    Enters the field into a set when nothing of it is lost: `whole` is both.
    """
    kept, lost = [], False
    for value in values:
        if value is False:
            # Not to be on the shelf says it.
            continue
        # The index of a series has no place on a shelf.
        text = value.get("series") if isinstance(value, dict) else value
        name = sanitize_text(text) if isinstance(text, str) else ""
        short = name[:NAME_LENGTH].strip()
        lost = lost or short != value
        if short:
            kept.append(short)
    if not lost:
        whole[1].add(whole[0])
    return kept


def _note(book: Book) -> tuple[str, bool]:
    """Returns the comments as text, cut, and whether that is all of them."""
    comments = book.extras.get("comments")
    if not isinstance(comments, str):
        return "", False
    text = plain_text(comments)
    return text[:NOTE_LENGTH].rstrip(), len(text) <= NOTE_LENGTH


def fingerprint(note: str) -> str:
    """Returns a hash of a note as we wrote it, by which somebody's edit is seen."""
    return hashlib.sha1(note.encode(), usedforsecurity=False).hexdigest()[:16]


# -- deciding --------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class MadeItem:
    """An item we made. `note` is its fingerprint.

    `pending` means that it was about to be made, and nothing is known since; `id` is
    the server's, None when that is not known.
    """

    note: str
    pending: bool = False
    id: ItemId | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do about one book, shelf by shelf.

    `settle` are items that turned out to be made, `forget` those of ours that somebody
    removed and nobody wants back; `left_off` are shelves somebody took the book off.
    """

    add: frozenset[ShelfId] = frozenset()
    settle: frozenset[ShelfId] = frozenset()
    remove: frozenset[ShelfId] = frozenset()
    renote: frozenset[ShelfId] = frozenset()
    forget: frozenset[ShelfId] = frozenset()
    left_off: frozenset[ShelfId] = frozenset()

    @property
    def needs_role(self) -> frozenset[ShelfId]:
        """What only a superuser may do."""
        return self.remove | self.renote


def decide(
    belongs: frozenset[ShelfId],
    note: str,
    made: Mapping[ShelfId, MadeItem],
    present: frozenset[ShelfId],
) -> Plan:
    """Decides what to do: where the book belongs, what we made, where it is now.

    What is on a shelf and was not made by us stays; what we made and somebody took off
    stays off as long as nothing changes in Calibre.
    """
    hers = fingerprint(note)
    ours, gone = frozenset(made), frozenset(made) - present
    pending = frozenset(shelf for shelf, item in made.items() if item.pending)
    others = frozenset(shelf for shelf, item in made.items() if item.note != hers)
    return Plan(
        add=belongs - present - (ours - pending),
        settle=belongs & pending & present,
        remove=(ours - belongs) & present,
        renote=belongs & others & present,
        forget=gone - belongs,
        left_off=(belongs & gone) - pending,
    )


@dataclass(frozen=True, slots=True)
class Outcome:
    """What is true after a plan was carried out, for the record and the report.

    `names` are the shelves the book belongs on, `on_server` those of them and of ours
    that it is on; `carried` as in `Wanted`. `unallowed` are shelves left as they are
    for want of the role superuser, `kept` those where somebody's change stays;
    `refused` holds the server's words by shelf.
    """

    names: frozenset[str] = frozenset()
    on_server: frozenset[str] = frozenset()
    carried: frozenset[str] = frozenset()
    unallowed: tuple[str, ...] = ()
    kept: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)

    def sentences(self) -> list[str]:
        """Returns what a person should know, one sentence for each kind."""
        found = [f"the shelf {name!r}: {why}" for name, why in self.refused.items()]
        if self.unallowed:
            found.append(
                "without the role superuser nothing is changed or removed on "
                f"{', '.join(map(repr, self.unallowed))}"
            )
        if self.kept:
            found.append(
                "what somebody changed stays as it is on "
                f"{', '.join(map(repr, self.kept))}"
            )
        return found
