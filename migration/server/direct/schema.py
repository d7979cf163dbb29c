"""What the direct lane relies on in MyBookshelf2's database, and what differs. Pure.

The lane writes rows past the server's own code, so it writes only where tables, columns,
types, sequences and triggers are those it was tried with. `!` after a type means that
the column may not be null.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

#: The version of the schema that this lane knows (table `version`).
VERSION = 2
#: Sentences that are shown of all that differs.
SHOWN = 6

_STAMPS = (
    "id bigint!, version_id integer!, created timestamp without time zone!, "
    "modified timestamp without time zone!, created_by_id bigint, modified_by_id bigint"
)
_WRITTEN = {
    "author": f"{_STAMPS}, last_name character varying(128)!, "
    "first_name character varying(128), description text",
    "series": f"{_STAMPS}, title character varying(256)!, rating double precision, "
    "rating_count integer, description text",
    "ebook": f"{_STAMPS}, title character varying(256)!, description text, "
    "language_id bigint!, series_id bigint, series_index integer, "
    "rating double precision, rating_count integer, downloads integer, "
    "cover character varying(512), base_dir character varying(512)!, "
    "full_text tsvector",
    "ebook_authors": "ebook_id bigint!, author_id bigint!",
    "ebook_genres": "ebook_id bigint!, genre_id bigint!",
    "source": f"{_STAMPS}, ebook_id bigint!, location character varying(512)!, "
    "load_source character varying(256), format_id bigint!, size integer!, "
    "hash character varying(128)!, quality double precision, quality_count integer",
    "ebook_rating": f"{_STAMPS}, ebook_id bigint!, rating double precision, "
    "description text",
    "upload": f"{_STAMPS}, file character varying(512)!, "
    "cover character varying(512), load_source character varying(256), "
    "format_id bigint!, size integer!, hash character varying(128)!, meta json",
    "bookshelf": f"{_STAMPS}, name character varying(256)!, description text, "
    "public boolean, rating double precision, rating_count integer",
    "bookshelf_item": f'{_STAMPS}, type "BOOKSHELF_ITEM_TYPE"!, '
    "bookshelf_id bigint!, ebook_id bigint, series_id bigint, order integer, note text",
}
_READ = {
    "language": "id bigint!, code character varying(6)!",
    "genre": "id bigint!, name character varying(64)!",
    "format": "id bigint!, extension character varying(8)!",
    "user": "id bigint!, user_name character varying(128)!, active boolean",
    "version": "version integer",
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column's type as PostgreSQL writes it, and whether it may not be null."""

    type: str
    required: bool


def _columns(text: str) -> Mapping[str, Column]:
    """Reads `name type, name type!`."""
    found = {}
    for part in text.split(", "):
        name, _, kind = part.partition(" ")
        found[name] = Column(kind.removesuffix("!"), kind.endswith("!"))
    return found


#: Tables that are written: they have these columns and no others.
WRITTEN = {table: _columns(text) for table, text in _WRITTEN.items()}
#: Tables that are only read: others of their columns do not matter.
READ = {table: _columns(text) for table, text in _READ.items()}
#: Tables whose ids come from a sequence, `<table>_id_seq`.
NUMBERED = (
    "author",
    "series",
    "ebook",
    "source",
    "ebook_rating",
    "upload",
    "bookshelf",
    "bookshelf_item",
)
#: The triggers of the written tables: table, name, function.
TRIGGERS = frozenset(
    {
        ("ebook", "ebook_ts_insert", "update_ebook_full_text"),
        ("ebook", "ebook_ts_update", "update_ebook_full_text"),
        ("ebook_authors", "ebook_ts_update", "update_ebook_full_text2"),
        ("series", "ebook_ts_update", "update_ebook_full_text3"),
        ("author", "ebook_ts_update", "update_ebook_full_text4"),
    }
)
#: The rights the lane needs, by table. Those of `user` are on its columns: the others
#: hold passwords.
RIGHTS: Mapping[str, tuple[str, ...]] = {
    "author": ("SELECT", "INSERT", "DELETE"),
    "series": ("SELECT", "INSERT", "DELETE"),
    "ebook": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "ebook_authors": ("SELECT", "INSERT", "UPDATE", "DELETE"),
    "ebook_genres": ("SELECT", "INSERT"),
    "source": ("SELECT", "INSERT", "DELETE"),
    "ebook_rating": ("SELECT", "INSERT", "DELETE"),
    "upload": ("SELECT", "INSERT", "DELETE"),
    "bookshelf": ("SELECT", "INSERT", "UPDATE"),
    "bookshelf_item": ("SELECT", "INSERT", "DELETE"),
    "language": ("SELECT",),
    "genre": ("SELECT",),
    "format": ("SELECT",),
    "version": ("SELECT",),
}
USER_COLUMNS = ("id", "user_name", "active")


@dataclass(frozen=True, slots=True)
class Seen:
    """What a database has of it.

    `kinds` are PostgreSQL's letters for relations by name, `guarded` tables with row
    security or rules; `triggers` are those that are enabled. `behind` are tables whose
    sequence would give out ids that exist. `lacks` are rights, as people read them.
    """

    kinds: Mapping[str, str] = field(default_factory=dict)
    columns: Mapping[tuple[str, str], Column] = field(default_factory=dict)
    guarded: frozenset[str] = frozenset()
    triggers: frozenset[tuple[str, str, str]] = frozenset()
    sequences: frozenset[str] = frozenset()
    behind: frozenset[str] = frozenset()
    versions: tuple[int | None, ...] = ()
    full_title: bool = False
    search: bool = False
    lacks: tuple[str, ...] = ()


def differences(seen: Seen) -> tuple[str, ...]:
    """Returns what differs, each a clause; () when the lane may write."""
    missing = [one for one in (*WRITTEN, *READ) if seen.kinds.get(one) != "r"]
    if missing:
        return (f"it has no table {', '.join(map(repr, missing[:SHOWN]))}",)
    return tuple([*_versions(seen), *_of_tables(seen), *_of_machinery(seen)])


def _versions(seen: Seen) -> Iterator[str]:
    """Compares the server's own number first: it explains the rest."""
    if seen.versions != (VERSION,):
        shown = ", ".join("none" if one is None else str(one) for one in seen.versions)
        yield f"its schema has version {shown or 'none'}, this lane knows {VERSION}"


def _of_tables(seen: Seen) -> Iterator[str]:
    for table, columns in {**WRITTEN, **READ}.items():
        for name, column in columns.items():
            there = seen.columns.get((table, name))
            if there is None:
                yield f"{table} has no column {name}"
            elif there != column:
                yield f"{table}.{name} is {_shown(there)}, not {_shown(column)}"
        if table in WRITTEN:
            more = {name for of, name in seen.columns if of == table} - columns.keys()
            yield from (f"{table} has a column more: {name}" for name in sorted(more))
    yield from (f"{table} has row security or rules" for table in sorted(seen.guarded))


def _of_machinery(seen: Seen) -> Iterator[str]:
    for table, name, function in sorted(TRIGGERS - seen.triggers):
        yield f"{table} has no trigger {name} in force that runs {function}"
    for table, name, function in sorted(seen.triggers - TRIGGERS):
        yield f"{table} has a trigger more: {name}, which runs {function}"
    for table in NUMBERED:
        if f"{table}_id_seq" not in seen.sequences:
            yield f"{table}.id takes its numbers from no sequence {table}_id_seq"
        elif table in seen.behind:
            yield f"the sequence {table}_id_seq is behind the ids of its table"
    if not seen.full_title:
        yield "it has no function ebook_full_title(bigint)"
    if not seen.search:
        yield "it has no text search configuration 'custom'"


def _shown(column: Column) -> str:
    return f"{column.type} not null" if column.required else column.type
