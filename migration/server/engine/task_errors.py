"""Classifies a failed task's error: the file's fault or the server's trouble.

A refusal makes a file `failed` for good, so it must be known to be about the file's
format or metadata. Anything unknown counts as trouble of the server, which passes: its
database away, a disk full, a tool missing or killed.
"""

import re

#: A database error as the engine reports it, perhaps with the driver's class before it.
_DRIVER = r"(?:\(psycopg2\.[\w.]+\) )?"

#: Errors of `metadata` that are about this file. Only the beginning is matched: the
#: rest may quote the book.
_REFUSALS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # The server lacks the format. PostgreSQL words this in the server's language;
        # the column and NULL are in every one.
        _DRIVER + r"(?=[^\n]*\bnull\b)(?=[^\n]*\bformat_id\b)",
        # A text or a number that the database cannot hold.
        _DRIVER + r"A string literal cannot contain NUL \(0x00\) characters",
        _DRIVER + r"value too long for type character varying",
        _DRIVER + r"invalid byte sequence for encoding",
        _DRIVER + r"unsupported Unicode escape sequence",
        _DRIVER + r"(?:integer|bigint) out of range",
        # What ebook-meta printed, or what was proposed, is not text. With an ASCII
        # codec the server's locale is wrong.
        r"'utf-?8' codec can't (?:en|de)code ",
        # Proposed metadata without a required key.
        r"'(?:last_name|name|title)'$",
        # A .doc on a server without LibreOffice. (Without ebook-meta it could accept no
        # file at all.)
        r"\[Errno 2\] No such file or directory: '[^'\n]*/soffice'$",
    )
)

#: ebook-meta rejected the file and ended by itself; the command is quoted first.
_TOOL_FAILED = re.compile(
    r'Command ".{1,4000}?" failed with return code (-?\d{1,5})\b', re.DOTALL
)
#: From this status on, the shell reports a missing program or the signal that ended it.
_FIRST_SHELL_STATUS = 126
#: What ebook-meta prints when the machine is to blame.
_MACHINE = re.compile(
    "No space left on device|Disk quota exceeded|Cannot allocate "
    "memory|MemoryError|bad_alloc|out of memory|"
    "Input/output error|Read-only file system|Permission denied|Too many open "
    "files|Stale file handle|"
    "Resource temporarily unavailable|Device or resource busy|Text file busy|Transport endpoint|"
    "No such file or directory|can't start new thread|cannot open shared "
    "object|ImportError|ModuleNotFoundError|"
    "Killed|timed out",
    re.IGNORECASE,
)

#: Signs of the database in any text: from PostgreSQL, its driver or SQLAlchemy.
_DATABASE = re.compile(
    r"psycopg2|sqlalchemy|PostgreSQL|database|deadlock|could not translate host name|"
    r"could not connect to server|connection to server|server closed the connection|"
    r"(?:connection|cursor) already closed|the connection is closed|terminating connection|"
    r"SSL connection|connection slots|too many clients|could not serialize|"
    r"(?:statement|lock) timeout|recovery mode|starting up|shutting down|read-only transaction",
    re.IGNORECASE,
)


def refuses(task: str, error: str) -> bool:
    """Whether a task's error refuses this file or cover.

    False for everything that may pass.
    """
    text = error.strip()
    if task == "cover":
        # The picture is not one. Whether the ebook has a folder is found out by reading
        # the ebook.
        return text == "Cover resizing failed"
    failed = _TOOL_FAILED.match(text)
    if failed is not None:
        return 0 < int(failed[1]) < _FIRST_SHELL_STATUS and not _MACHINE.search(
            text, failed.end()
        )
    return any(pattern.match(text) for pattern in _REFUSALS)


def tells_of_database(error: str) -> bool:
    """Whether an error is about the server's database.

    If so, the database must be asked whether the trouble is over.
    """
    return bool(_DATABASE.search(error))
