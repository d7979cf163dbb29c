"""The ledger's tables. Every change here needs a new number in `user_version`."""

VERSION = 5

#: What is on the server and should not be, as found by the last look before a pass was
#: closed and not corrected since. pass_id is the pass that found it last; book_id 0 and
#: ebook_id 0 mean none in particular.
DIFFERENCES = """
CREATE TABLE differences (
    ebook_id INTEGER NOT NULL,
    book_id INTEGER NOT NULL,
    kind TEXT NOT NULL,
    message TEXT NOT NULL,
    pass_id INTEGER NOT NULL,
    PRIMARY KEY (ebook_id, book_id, kind)
) WITHOUT ROWID;
"""

#: What is left out or taken otherwise than recorded, although nothing fails for it
#: (notices.NoticeKind). pass_id is the last pass that found it so; format is '' for
#: what concerns the whole book; record is the hash of the book's last line in
#: not_carried.jsonl, so that it is not written twice.
NOTICES = """
CREATE TABLE notices (
    book_id INTEGER NOT NULL,
    kind TEXT NOT NULL,
    format TEXT NOT NULL,
    pass_id INTEGER NOT NULL,
    message TEXT NOT NULL,
    record TEXT NOT NULL,
    PRIMARY KEY (book_id, kind, format)
) WITHOUT ROWID;
"""
NOTICES_INDEX = "CREATE INDEX notices_of_a_pass ON notices (pass_id, book_id);"

#: What was carried of each book, and what the server showed right after (JSON of
#: metadata.compare.Fields; `server` only has the fields that differ). pass_id is the
#: pass that last worked on the book. version is the ebook's version_id, cover the SHA-1
#: of the server's cover, "" without one.
CARRIED = """
CREATE TABLE carried (
    book_id INTEGER PRIMARY KEY,
    pass_id INTEGER NOT NULL,
    fields TEXT NOT NULL,
    server TEXT NOT NULL,
    version INTEGER NOT NULL,
    cover TEXT NOT NULL
);
"""
CARRIED_INDEX = "CREATE INDEX carried_in_a_pass ON carried (pass_id, book_id);"

#: Differences between Calibre and the server that were reported and stand
#: (records.Standing). calibre and server are the values as they are shown.
STANDING = """
CREATE TABLE standing (
    book_id INTEGER NOT NULL,
    field TEXT NOT NULL,
    kind TEXT NOT NULL,
    calibre TEXT NOT NULL,
    server TEXT NOT NULL,
    pass_id INTEGER NOT NULL,
    PRIMARY KEY (book_id, field)
) WITHOUT ROWID;
"""

#: Sources made by us for bytes that Calibre has replaced since; each is deleted once
#: the new bytes are seen in the same ebook.
REPLACED = """
CREATE TABLE replaced (
    book_id INTEGER NOT NULL,
    format TEXT NOT NULL,
    source_id INTEGER NOT NULL,
    sha1 BLOB NOT NULL,
    size INTEGER NOT NULL,
    PRIMARY KEY (book_id, format, source_id)
) WITHOUT ROWID;
"""

#: Files that count as being there by another book's source.
BORROWED_INDEX = (
    "CREATE INDEX borrowed_files ON files (sha1) "
    "WHERE source_id IS NULL AND sha1 IS NOT NULL;"
)

#: What a pass made on the server (records.MadeKind), so that it can be undone. detail
#: is JSON: what tells whether somebody changed it since.
MADE = """
CREATE TABLE made (
    kind TEXT NOT NULL,
    server_id INTEGER NOT NULL,
    book_id INTEGER NOT NULL,
    pass_id INTEGER NOT NULL,
    detail TEXT NOT NULL,
    PRIMARY KEY (kind, server_id)
) WITHOUT ROWID;
"""
MADE_INDEX = "CREATE INDEX made_in_a_pass ON made (pass_id, book_id);"

#: The pass that a pass undoes (--undo); NULL for a migration.
UNDOES = "ALTER TABLE passes ADD COLUMN undoes INTEGER;"
#: The pass that found a notice first.
SINCE = "ALTER TABLE notices ADD COLUMN since INTEGER NOT NULL DEFAULT 0;"

#: Bookshelves of ours by name, and the items we put on them; note is a hash of the
#: item's note as we wrote it, after a `?` as long as it is not known to be there;
#: item_id is the server's, 0 when it is not known.
SHELVES = """
CREATE TABLE shelves (name TEXT PRIMARY KEY, server_id INTEGER NOT NULL) WITHOUT ROWID;
"""
SHELF_ITEMS = """
CREATE TABLE shelf_items (
    book_id INTEGER NOT NULL,
    shelf_id INTEGER NOT NULL,
    note TEXT NOT NULL,
    item_id INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (book_id, shelf_id)
) WITHOUT ROWID;
"""

#: Batches of the direct lane that have not ended: what is about to be written past the
#: server's API, recorded before anything is (JSON of batch_journal.JournalBook). token
#: is the key of the lock that the writing session holds in the server's database,
#: begun_at a clock.Stamp. settled 1: its books are settled, but nobody could look
#: whether files of it were left behind.
BATCHES = """
CREATE TABLE batches (
    token INTEGER PRIMARY KEY,
    owner TEXT NOT NULL,
    pass_id INTEGER NOT NULL,
    begun_at TEXT NOT NULL,
    books TEXT NOT NULL,
    settled INTEGER NOT NULL DEFAULT 0
);
"""

#: Statements that upgrade a ledger to the next version, by the version they start from.
UPGRADES = {
    1: ("ALTER TABLE passes ADD COLUMN listed INTEGER",),
    2: (
        "ALTER TABLE books ADD COLUMN title TEXT",
        "ALTER TABLE books ADD COLUMN restore TEXT",
        "CREATE TABLE origins (book_id INTEGER PRIMARY KEY, uuid TEXT NOT NULL, "
        "folder BLOB NOT NULL)",
        "ALTER TABLE passes ADD COLUMN newest_before INTEGER",
        "ALTER TABLE passes ADD COLUMN creates INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE passes ADD COLUMN looks INTEGER NOT NULL DEFAULT 0",
        "ALTER TABLE passes ADD COLUMN looker TEXT",
        DIFFERENCES,
        # An open pass was begun by a version that did not ask for the newest ebook: it
        # began at the first ebook it uploaded to.
        "UPDATE passes SET creates = 1, newest_before = (SELECT MIN(ebook_id) - 1 "
        "FROM books JOIN files USING"
        " (book_id) WHERE files.pass_id = passes.id AND outcome = 'uploaded') WHERE "
        "closed_at IS NULL",
        NOTICES,
        NOTICES_INDEX,
        "ALTER TABLE hashes ADD COLUMN ebook_id INTEGER",
        "UPDATE hashes SET ebook_id = books.ebook_id FROM files CROSS JOIN books ON "
        "books.book_id = files.book_id"
        " WHERE files.source_id IS NOT NULL AND hashes.sha1 = files.sha1 AND "
        "hashes.size = files.size",
    ),
    3: (
        # NULL, so that every book is compared once with the server.
        "ALTER TABLE files ADD COLUMN modified BLOB",
        "ALTER TABLE passes ADD COLUMN selection TEXT NOT NULL DEFAULT ''",
        "ALTER TABLE passes ADD COLUMN audit TEXT NOT NULL DEFAULT ''",
        CARRIED,
        CARRIED_INDEX,
        STANDING,
        REPLACED,
        BORROWED_INDEX,
        MADE,
        MADE_INDEX,
        SHELVES,
        SHELF_ITEMS,
        UNDOES,
        SINCE,
    ),
    4: (BATCHES,),
}

TABLES = f"""{DIFFERENCES}{NOTICES}{NOTICES_INDEX}
{SINCE}
{CARRIED}{CARRIED_INDEX}{STANDING}{REPLACED}{MADE}{MADE_INDEX}{SHELVES}{SHELF_ITEMS}
{BATCHES}
CREATE TABLE meta (key TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;

-- One walk over the whole library. The counters are the equation of DESIGN section 4;
-- they change in the same transaction as the rows they count, so totals cost one row.
CREATE TABLE passes (
    id INTEGER PRIMARY KEY,
    opened_at TEXT NOT NULL,
    closed_at TEXT,
    highest_id INTEGER NOT NULL,
    claimed_to INTEGER NOT NULL DEFAULT 0,
    discovered INTEGER NOT NULL DEFAULT 0,
    uploaded INTEGER NOT NULL DEFAULT 0,
    duplicate INTEGER NOT NULL DEFAULT 0,
    skipped INTEGER NOT NULL DEFAULT 0,
    failed INTEGER NOT NULL DEFAULT 0,
    pending INTEGER NOT NULL DEFAULT 0,
    bytes_uploaded INTEGER NOT NULL DEFAULT 0,
    -- how many files the library listed when the pass was opened: the total, known
    -- before anything is read
    listed INTEGER,
    -- the end of the pass (migration/ledger/parts/pass_end.py): the newest ebook of
    -- the server when it began, how many ebooks were asked for since, who is looking at
    -- the server before it is closed, and how many looks set something right
    newest_before INTEGER,
    creates INTEGER NOT NULL DEFAULT 0,
    looks INTEGER NOT NULL DEFAULT 0,
    looker TEXT,
    -- which books the pass is about (JSON); '' is all of them
    selection TEXT NOT NULL DEFAULT '',
    -- what was read back before it was closed (JSON of records.Audited); '' is nothing
    audit TEXT NOT NULL DEFAULT ''
);
{UNDOES}
CREATE UNIQUE INDEX one_open_pass ON passes (closed_at IS NULL) WHERE closed_at IS NULL;

-- owner NULL: released, anybody may take it.
CREATE TABLE ranges (
    pass_id INTEGER NOT NULL,
    first_id INTEGER NOT NULL,
    last_id INTEGER NOT NULL,
    owner TEXT,
    closed_at TEXT,
    PRIMARY KEY (pass_id, first_id)
) WITHOUT ROWID;
CREATE INDEX open_ranges ON ranges (pass_id, first_id) WHERE closed_at IS NULL;

-- pass_id is the pass in which the outcome was found. attempts counts the workers that
-- died on the file without getting it any further than it had been before; furthest is
-- how far it ever got (ledger.records.Stage). modified is the book's
-- books.last_modified in metadata.db when its metadata was last carried or compared;
-- NULL or another value: the book has to be compared.
CREATE TABLE files (
    book_id INTEGER NOT NULL,
    format TEXT NOT NULL,
    size INTEGER NOT NULL,
    mtime_ns INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    pass_id INTEGER NOT NULL,
    sha1 BLOB,
    source_id INTEGER,
    attempts INTEGER NOT NULL DEFAULT 0,
    furthest INTEGER NOT NULL DEFAULT 0,
    rounds INTEGER NOT NULL DEFAULT 0,
    reason TEXT NOT NULL DEFAULT '',
    message TEXT NOT NULL DEFAULT '',
    modified BLOB,
    PRIMARY KEY (book_id, format)
) WITHOUT ROWID;
CREATE INDEX unfinished_files ON files (outcome, book_id) WHERE outcome IN ('failed', 'pending');
{BORROWED_INDEX}

-- One ebook per Calibre book. steps: what is still to be done after its files are
-- attached (bits of records.Step). intention: what the server may have been asked to do
-- and whose answer is not recorded yet, since intended_at (a clock.Stamp). title: what
-- we gave it last; restore: what somebody else gave it, while it has its working title
-- again.
CREATE TABLE books (
    book_id INTEGER PRIMARY KEY,
    working_title TEXT NOT NULL,
    ebook_id INTEGER,
    steps INTEGER NOT NULL DEFAULT 0,
    intention TEXT,
    intended_at TEXT,
    upload_id INTEGER,
    format TEXT,
    sha1 BLOB,
    size INTEGER,
    title TEXT,
    restore TEXT
);
CREATE INDEX open_books ON books (book_id) WHERE steps != 0 OR intention IS NOT NULL;

-- By what a book is known again when its library was made anew: Calibre's uuid, a hash
-- of its folder.
CREATE TABLE origins (book_id INTEGER PRIMARY KEY, uuid TEXT NOT NULL,
    folder BLOB NOT NULL);

-- What the server has, by any worker or anybody else. id grows, so a worker can ask
-- what is new.
CREATE TABLE hashes (
    id INTEGER PRIMARY KEY,
    sha1 BLOB NOT NULL,
    size INTEGER NOT NULL,
    -- the ebook that holds them, where that is known
    ebook_id INTEGER,
    UNIQUE (sha1, size)
);

-- What is in flight: kind 'hash' (the bytes), 'author', 'series' (a name being created
-- on the server). since: a clock.Stamp.
CREATE TABLE claims (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    owner TEXT NOT NULL,
    book_id INTEGER NOT NULL,
    since TEXT NOT NULL,
    PRIMARY KEY (kind, name)
) WITHOUT ROWID;
CREATE INDEX claims_of_a_book ON claims (book_id);

-- Names that exist on the server, with their ids there.
CREATE TABLE names (
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    server_id INTEGER NOT NULL,
    PRIMARY KEY (kind, name)
) WITHOUT ROWID;

-- Small counts of a pass: failures by reason, metadata not carried by field, uploads
-- left for the server's clean-up.
CREATE TABLE tallies (
    pass_id INTEGER NOT NULL,
    kind TEXT NOT NULL,
    name TEXT NOT NULL,
    n INTEGER NOT NULL,
    PRIMARY KEY (pass_id, kind, name)
) WITHOUT ROWID;
"""
