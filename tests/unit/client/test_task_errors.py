"""Which errors of the server's tasks refuse a file, and which tell of trouble that
passes."""

import pytest

from migration.server.engine.task_errors import refuses, tells_of_database

_COMMAND = (
    'Command "/usr/bin/ebook-meta '
    "('--get-cover=/data/uploads/tmpx/cover_tmp.jpg', "
    "'/data/uploads/tmpx/ab.pdf')\""
)

REFUSED = [
    'null value in column "format_id" of relation "upload" violates not-null '
    "constraint\nDETAIL: (1, …)",
    'null value in column "format_id" violates not-null constraint',
    '(psycopg2.errors.NotNullViolation) null value in column "format_id" of relation '
    '"upload" violates …',
    "NULL-Wert in Spalte »format_id« von Relation »upload« verletzt Not-Null-Constraint",
    "A string literal cannot contain NUL (0x00) characters.",
    "value too long for type character varying(512)",
    'invalid byte sequence for encoding "UTF8": 0x00',
    "integer out of range",
    "'utf-8' codec can't decode byte 0xff in position 7: invalid start byte",
    "'utf-8' codec can't encode character '\\ud800' in position 3: surrogates not allowed",
    "'last_name'",
    "[Errno 2] No such file or directory: '/usr/bin/soffice'",
    _COMMAND
    + (
        " failed with return code 1\nOutput: b''\nError Output: b'zipfile.BadZipFile: "
        "File is not a zip file'"
    ),
]

TROUBLE = [
    'could not translate host name "db" to address: Name or service not known',
    'connection to server at "db" (172.18.0.2), port 5432 failed: Connection refused',
    "server closed the connection unexpectedly\n\tThis probably means the server "
    "terminated abnormally",
    "(psycopg2.OperationalError) server closed the connection unexpectedly",
    "SSL connection has been closed unexpectedly",
    "terminating connection due to administrator command\nSSL connection has been "
    "closed unexpectedly",
    "deadlock detected\nDETAIL:  Process 1 waits for ShareLock on transaction 2; "
    "blocked by process 3.",
    "could not serialize access due to concurrent update",
    "FATAL:  remaining connection slots are reserved for non-replication superuser connections",
    "FATAL:  sorry, too many clients already",
    "FATAL:  the database system is starting up",
    "the database system is in recovery mode",
    "canceling statement due to statement timeout",
    "cannot execute INSERT in a read-only transaction",
    'could not extend file "base/16384/2619": No space left on device',
    "[Errno 28] No space left on device",
    "[Errno 12] Cannot allocate memory",
    "[Errno 24] Too many open files",
    "[Errno 2] No such file or directory: '/usr/bin/ebook-meta'",
    "[Errno 13] Permission denied: '/data/uploads/tmpx/cover.jpg'",
    "('File %s does not exists or is not readable', '/data/uploads/tmpnope/x.epub')",
    "('Connection aborted.', ConnectionResetError(104, 'Connection reset by peer'))",
    "Timeout after 60.000000",
    "TimeoutError()",
    "CancelledError()",
    "cursor already closed",
    "tuple index out of range",
    "'NoneType' object is not subscriptable",
    "Empty file!",
    "'ascii' codec can't encode character '\\u0161' in position 3: ordinal not in range(128)",
    'relation "upload" does not exist',
    'column "format_id" of relation "upload" does not exist',
    'duplicate key value violates unique constraint "upload_pkey"',
    'insert or update on table "upload" violates foreign key constraint "upload_format_id_fkey"',
    'null value in column "id" of relation "upload" violates not-null '
    "constraint\nDETAIL: (1, format_id, null)",
    _COMMAND + " failed with return code -9\nOutput: b''\nError Output: b''",
    _COMMAND + " failed with return code -11\nOutput: b''\nError Output: b''",
    _COMMAND + " failed with return code 137\nOutput: b''\nError Output: b'Killed'",
    _COMMAND
    + " failed with return code 127\nOutput: b''\nError Output: b'ebook-meta: not found'",
    _COMMAND + " failed with return code 126\nOutput: b''\nError Output: b''",
    _COMMAND
    + (
        " failed with return code 1\nOutput: b''\nError Output: b'OSError: [Errno 28] "
        "No space left on device'"
    ),
    _COMMAND
    + " failed with return code 1\nOutput: b''\nError Output: b'Traceback …\\nMemoryError'",
    _COMMAND
    + (
        " failed with return code 1\nOutput: b''\nError Output: b'libcrypto.so: cannot "
        "open shared object file'"
    ),
    "something nobody has seen before",
    "Something: value too long for type character varying(512)",
    "",
]


@pytest.mark.parametrize("error", REFUSED)
def test_refusals_are_known_ones(error: str) -> None:
    """Each is about this file's format or metadata; sending it again would end
    alike."""
    assert refuses("metadata", error)


@pytest.mark.parametrize("error", TROUBLE)
def test_everything_else_passes(error: str) -> None:
    """It is tried again: no file is failed for it."""
    assert not refuses("metadata", error)


@pytest.mark.parametrize(
    ("error", "refused"),
    [
        ("Cover resizing failed", True),
        ("Ebook directory is null, probably wrong ebook id", False),
        (
            'could not translate host name "db" to address: Name or service not known',
            False,
        ),
        ("TimeoutError()", False),
        ("Cover resizing failed because the database is away", False),
        (REFUSED[0], False),
    ],
)
def test_a_cover_is_refused_when_it_is_no_picture(error: str, refused: bool) -> None:
    """Nothing else that its task says is about the picture."""
    assert refuses("cover", error) is refused


@pytest.mark.parametrize("error", TROUBLE[:14])
def test_the_database_is_told_by_its_words(error: str) -> None:
    """So a probe knows that the engine answers and its database does not."""
    assert tells_of_database(error)


@pytest.mark.parametrize(
    "error",
    ["Cannot convert from format None", "tuple index out of range", "Timeout after 60"],
)
def test_other_errors_do_not_tell_of_the_database(error: str) -> None:
    """The first two are what a healthy engine says to a probe."""
    assert not tells_of_database(error)
