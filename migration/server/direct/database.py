"""Is this the database of a MyBookshelf2 that the lane knows, and may it write? Asks only."""

from migration.errors import ServerDatabaseUnusable
from migration.server.direct import schema
from migration.server.direct.connection import DatabaseSession
from migration.server.direct.schema import Column, Seen

_TABLES = """
    SELECT relname::text, relkind::text, relrowsecurity OR relhasrules
    FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relname = ANY(%s)
"""
_COLUMNS = """
    SELECT c.relname::text, a.attname::text, format_type(a.atttypid, a.atttypmod),
        a.attnotnull
    FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
    WHERE c.relnamespace = 'public'::regnamespace AND c.relname = ANY(%s)
        AND a.attnum > 0 AND NOT a.attisdropped
"""
_TRIGGERS = """
    SELECT c.relname::text, t.tgname::text, p.proname::text
    FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
        JOIN pg_proc p ON p.oid = t.tgfoid
    WHERE c.relnamespace = 'public'::regnamespace AND c.relname = ANY(%s)
        AND NOT t.tgisinternal AND t.tgenabled IN ('O', 'A')
"""
#: Sequences that are the default of their table's id, whose steps are one.
_SEQUENCES = """
    SELECT s.relname::text
    FROM pg_class c
        JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'id'
        JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
        JOIN pg_depend p ON p.classid = 'pg_attrdef'::regclass AND p.objid = d.oid
        JOIN pg_class s ON p.refclassid = 'pg_class'::regclass AND s.oid = p.refobjid
            AND s.relkind = 'S' AND s.relnamespace = c.relnamespace
        JOIN pg_sequence n ON n.seqrelid = s.oid AND n.seqincrement = 1
    WHERE c.relnamespace = 'public'::regnamespace AND c.relname = ANY(%s)
        AND s.relname = c.relname || '_id_seq'
"""
_MACHINERY = """
    SELECT to_regprocedure('public.ebook_full_title(bigint)') IS NOT NULL,
        EXISTS (SELECT 1 FROM pg_ts_config
            WHERE cfgname = 'custom' AND pg_ts_config_is_visible(oid))
"""
#: What the user may not do, as people read it.
_RIGHTS = """
    SELECT wanted FROM (
        SELECT n, r || ' on ' || t AS wanted
        FROM unnest(%s::text[], %s::text[]) WITH ORDINALITY AS x (t, r, n)
        WHERE NOT has_table_privilege(format('public.%%I', t), r)
        UNION ALL
        SELECT 1000 + n, 'SELECT on user.' || c
        FROM unnest(%s::text[]) WITH ORDINALITY AS x (c, n)
        WHERE NOT has_column_privilege('public."user"', c, 'SELECT')
        UNION ALL
        SELECT 2000 + n, 'USAGE and SELECT on the sequence ' || s
        FROM unnest(%s::text[]) WITH ORDINALITY AS x (s, n)
        WHERE to_regclass(format('public.%%I', s)) IS NOT NULL
            AND NOT (has_sequence_privilege(format('public.%%I', s), 'USAGE')
            AND has_sequence_privilege(format('public.%%I', s), 'SELECT'))
        UNION ALL
        SELECT 3000, 'TEMPORARY on the database'
        WHERE NOT has_database_privilege(current_database(), 'TEMPORARY')
    ) AS lacking ORDER BY n
"""
#: The ids are read from the end of an index.
_BEHIND = """
    SELECT t FROM (VALUES
        ('author', (SELECT max(id) FROM public.author),
            (SELECT last_value FROM public.author_id_seq)),
        ('series', (SELECT max(id) FROM public.series),
            (SELECT last_value FROM public.series_id_seq)),
        ('ebook', (SELECT max(id) FROM public.ebook),
            (SELECT last_value FROM public.ebook_id_seq)),
        ('source', (SELECT max(id) FROM public.source),
            (SELECT last_value FROM public.source_id_seq)),
        ('ebook_rating', (SELECT max(id) FROM public.ebook_rating),
            (SELECT last_value FROM public.ebook_rating_id_seq)),
        ('upload', (SELECT max(id) FROM public.upload),
            (SELECT last_value FROM public.upload_id_seq)),
        ('bookshelf', (SELECT max(id) FROM public.bookshelf),
            (SELECT last_value FROM public.bookshelf_id_seq)),
        ('bookshelf_item', (SELECT max(id) FROM public.bookshelf_item),
            (SELECT last_value FROM public.bookshelf_item_id_seq))
    ) AS numbers (t, used, given) WHERE used > given
"""


def check(session: DatabaseSession) -> None:
    """Raises ServerDatabaseUnusable with what differs, unless the lane may write here.

    Nothing is written. Another session's writing does not matter.
    """
    recovering, read_only = session.rows(
        "SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on'"
    )[0]
    if recovering:
        raise ServerDatabaseUnusable(
            "the database of MBS2_DB_URI is a standby, which takes no changes; name "
            "the primary server"
        )
    if read_only:
        raise ServerDatabaseUnusable(
            "the database of MBS2_DB_URI is read-only for its user "
            "(default_transaction_read_only)"
        )
    seen = look(session)
    different = schema.differences(seen)
    if different:
        more = len(different) - schema.SHOWN
        shown = "; ".join(different[: schema.SHOWN])
        raise ServerDatabaseUnusable(
            "the database of MBS2_DB_URI is not one that can be written directly: "
            f"{shown}{f'; and {more} more' if more > 0 else ''}"
        )
    if seen.lacks:
        raise ServerDatabaseUnusable(
            f"the user of MBS2_DB_URI may not: {', '.join(seen.lacks)}; "
            "python -m deploy.prepare_server --role NAME makes one that may"
        )


def look(session: DatabaseSession) -> Seen:
    """Reads what the database has of `schema`'s tables."""
    names = [*schema.WRITTEN, *schema.READ]
    tables = session.rows(_TABLES, (names,))
    kinds = {name: kind for name, kind, _guarded in tables}
    if any(kinds.get(name) != "r" for name in names):
        return Seen(kinds)
    lacks = tuple(row[0] for row in session.rows(_RIGHTS, _rights()))
    sequences = frozenset(row[0] for row in session.rows(_SEQUENCES, (names,)))
    numbered = sequences >= {f"{table}_id_seq" for table in schema.NUMBERED}
    may_read = not any("SELECT" in right for right in lacks)
    full_title, search = session.rows(_MACHINERY)[0]
    return Seen(
        kinds=kinds,
        columns={
            (table, name): Column(kind, required)
            for table, name, kind, required in session.rows(_COLUMNS, (names,))
        },
        guarded=frozenset(name for name, _kind, guarded in tables if guarded),
        triggers=frozenset(
            (table, name, function)
            for table, name, function in session.rows(_TRIGGERS, ([*schema.WRITTEN],))
        ),
        sequences=sequences,
        behind=frozenset(row[0] for row in session.rows(_BEHIND))
        if numbered and may_read
        else frozenset(),
        versions=tuple(
            row[0]
            for row in session.rows("SELECT version FROM public.version ORDER BY id")
        )
        if may_read
        else (schema.VERSION,),
        full_title=full_title,
        search=search,
        lacks=lacks,
    )


def _rights() -> tuple[list[str], list[str], list[str], list[str]]:
    pairs = [
        (table, right) for table, rights in schema.RIGHTS.items() for right in rights
    ]
    return (
        [table for table, _right in pairs],
        [right for _table, right in pairs],
        list(schema.USER_COLUMNS),
        [f"{table}_id_seq" for table in schema.NUMBERED],
    )
