"""What the text of a failed task says: is it about this file, or does the server have
trouble? Pure.

A refusal makes a file `failed` for good, so it must be known to be one about the file's
format or metadata. Whatever is not known is trouble of the server and passes: its
database away, a disk full, a tool missing or killed."""

import re

#: An error of the database as the engine reports it: perhaps with the class of its
#: driver before it.
_DRIVER = r"(?:\(psycopg2\.[\w.]+\) )?"

#: Errors of `metadata` that are about this file. Only what stands first is looked at:
#: what follows may quote the book.
_REFUSALS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # No such format on the server. PostgreSQL says it in the language of the
        # server: column and NULL are in each.
        _DRIVER + r"(?=[^\n]*\bnull\b)(?=[^\n]*\bformat_id\b)",
        # A text or a number the database cannot hold.
        _DRIVER + r"A string literal cannot contain NUL \(0x00\) characters",
        _DRIVER + r"value too long for type character varying",
        _DRIVER + r"invalid byte sequence for encoding",
        _DRIVER + r"unsupported Unicode escape sequence",
        _DRIVER + r"(?:integer|bigint) out of range",
        # What ebook-meta printed, or what was proposed, is no text. With an ASCII codec
        # the server's locale is wrong.
        r"'utf-?8' codec can't (?:en|de)code ",
        # Proposed metadata without a key they must have.
        r"'(?:last_name|name|title)'$",
        # Of a .doc on a server without LibreOffice. Without ebook-meta it could take no
        # file at all.
        r"\[Errno 2\] No such file or directory: '[^'\n]*/soffice'$",
    )
)

#: ebook-meta ended by itself and did not like the file; the command is quoted before.
_TOOL_FAILED = re.compile(
    r'Command ".{1,4000}?" failed with return code (-?\d{1,5})\b', re.DOTALL
)
#: From here on the shell tells that there was no such program, or which signal ended
#: it.
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

#: Signs of the database in any text, each of PostgreSQL, its driver or SQLAlchemy.
_DATABASE = re.compile(
    r"psycopg2|sqlalchemy|PostgreSQL|database|deadlock|could not translate host name|"
    r"could not connect to server|connection to server|server closed the connection|"
    r"(?:connection|cursor) already closed|the connection is closed|terminating connection|"
    r"SSL connection|connection slots|too many clients|could not serialize|"
    r"(?:statement|lock) timeout|recovery mode|starting up|shutting down|read-only transaction",
    re.IGNORECASE,
)


def refuses(task: str, error: str) -> bool:
    """Does a task's error refuse this file, or this cover? False for everything that
    may pass."""
    text = error.strip()
    if task == "cover":
        # Its picture is none. That an ebook has no folder is found out by asking for
        # the ebook.
        return text == "Cover resizing failed"
    failed = _TOOL_FAILED.match(text)
    if failed is not None:
        return 0 < int(failed[1]) < _FIRST_SHELL_STATUS and not _MACHINE.search(
            text, failed.end()
        )
    return any(pattern.match(text) for pattern in _REFUSALS)


def tells_of_database(error: str) -> bool:
    """Does an error tell of the server's database? Then that is what must be asked
    whether the trouble is over."""
    return bool(_DATABASE.search(error))
