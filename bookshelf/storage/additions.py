"""Tables, indexes and columns that came later; a data directory gets them when it is opened.

A server that does not know them ignores them, so the schema's version stays.
"""

import sqlite3

#: Sessions that were logged out.
_ENDED_SESSION = (
    "CREATE TABLE IF NOT EXISTS ended_session (session TEXT PRIMARY "
    "KEY, until REAL NOT NULL)"
)

#: An ebook on a shelf cannot be deleted, as on the real server; a shelf takes its items
#: along.
_BOOKSHELVES = (
    """
    CREATE TABLE IF NOT EXISTS bookshelf (
        id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, folded TEXT NOT NULL,
        description TEXT, public INTEGER NOT NULL DEFAULT 1,
        created TEXT NOT NULL, modified TEXT NOT NULL, created_by INTEGER NOT NULL,
        modified_by INTEGER NOT NULL, version_id INTEGER NOT NULL DEFAULT 1
    )
    """,
    """
    CREATE INDEX IF NOT EXISTS bookshelf_by_owner ON bookshelf (created_by, folded)
    """,
    """
    CREATE TABLE IF NOT EXISTS bookshelf_item (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        bookshelf_id INTEGER NOT NULL REFERENCES bookshelf ON DELETE CASCADE,
        ebook_id INTEGER REFERENCES ebook, series_id INTEGER REFERENCES series,
        note TEXT, place INTEGER,
        created TEXT NOT NULL, modified TEXT NOT NULL, created_by INTEGER NOT NULL,
        modified_by INTEGER NOT NULL, version_id INTEGER NOT NULL DEFAULT 1,
        UNIQUE (bookshelf_id, ebook_id), UNIQUE (bookshelf_id, series_id)
    )
    """,
    """
    CREATE INDEX IF NOT EXISTS shelf_item_of_ebook ON bookshelf_item (ebook_id)
    """,
)

#: Calibre's fields that MyBookshelf2 has no place for; the comments are plain text.
_CALIBRE_FIELDS = """
    CREATE TABLE IF NOT EXISTS calibre_fields (
        ebook_id INTEGER PRIMARY KEY REFERENCES ebook ON DELETE CASCADE,
        comments TEXT NOT NULL, identifiers TEXT NOT NULL, series_index REAL,
        sort TEXT NOT NULL
    )
"""

#: By what pages list ebooks: the sort title, or else the title. It is a table of its
#: own, kept by triggers, so that an earlier server keeps it too.
_ORDER = (
    """
    CREATE TABLE IF NOT EXISTS ebook_order (
        ebook_id INTEGER PRIMARY KEY REFERENCES ebook ON DELETE CASCADE,
        sorted TEXT NOT NULL
    )
    """,
    """
    CREATE INDEX IF NOT EXISTS ebook_by_order ON ebook_order (sorted, ebook_id)
    """,
    """
    CREATE TRIGGER IF NOT EXISTS ebook_order_of_new AFTER INSERT ON ebook BEGIN
        INSERT INTO ebook_order VALUES (new.id, new.folded);
    END
    """,
    """
    CREATE TRIGGER IF NOT EXISTS ebook_order_of_title AFTER UPDATE OF folded ON ebook
    WHEN new.folded != old.folded
    AND NOT EXISTS (SELECT 1 FROM calibre_fields WHERE ebook_id = new.id AND sort != '')
    BEGIN
        UPDATE ebook_order SET sorted = new.folded WHERE ebook_id = new.id;
    END
    """,
    """
    INSERT INTO ebook_order SELECT id, folded FROM ebook
    WHERE id > (SELECT IFNULL(MAX(ebook_id), 0) FROM ebook_order)
    """,
)

#: Files that came in batches, by where they are from; and what a batch that has not
#: ended may have put on the disk.
_IMPORTS = (
    """
    CREATE UNIQUE INDEX IF NOT EXISTS imported_source ON source (load_source)
    WHERE load_source GLOB 'calibre:*'
    """,
    """
    CREATE TABLE IF NOT EXISTS import_batch (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        first INTEGER NOT NULL, last INTEGER NOT NULL,
        files TEXT NOT NULL
    )
    """,
)

_STATEMENTS = (_ENDED_SESSION, *_BOOKSHELVES, _CALIBRE_FIELDS, *_ORDER, *_IMPORTS)

#: When an author was made; NULL for those made before this column.
_AUTHOR_COLUMNS = "PRAGMA table_info(author)"
_AUTHOR_CREATED = "ALTER TABLE author ADD COLUMN created TEXT"


def add(db: sqlite3.Connection) -> None:
    """Adds to an open transaction's database what it does not have yet."""
    for statement in _STATEMENTS:
        db.execute(statement)
    if "created" not in {row[1] for row in db.execute(_AUTHOR_COLUMNS).fetchall()}:
        db.execute(_AUTHOR_CREATED)
