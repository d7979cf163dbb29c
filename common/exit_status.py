"""The exit statuses of the worker and of the programs that start it."""

from enum import IntEnum


class ExitCode(IntEnum):
    """The worker's exit status, by which the monitor decides whether to restart it."""

    OK = 0  #: all accounted for, none failed
    SOME_FAILED = 1  #: all accounted for, some failed
    #: usage or configuration, or the ledger belongs to another library or server
    USAGE = 2
    SERVER = 3  #: server unreachable for 60 s at start, or login refused
    LIBRARY = 4  #: library unreadable
    STATE = 5  #: state directory not writable
    PENDING = 6  #: ended with files pending
    TAKEN = 7  #: this worker id is already running
    #: closed, but the audit found a difference, or something is on the server that
    #: should not be
    DIFFERENCE = 8
    DAMAGED = 9  #: the ledger was damaged and set aside: start again
    INTERNAL = 70  #: internal error
    SIGINT = 130  #: stopped by SIGINT after saving
    SIGTERM = 143  #: stopped by SIGTERM after saving
