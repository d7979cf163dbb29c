"""`migration_worker{N}.stack`: where the threads of a worker are, written when somebody
asks by a signal.

SIGUSR1 is waited for by a thread of its own, which reads the frames while it holds the
interpreter's lock, as Python code may: no frame goes away under it, and it works
whatever the other threads wait for. A thread that keeps that lock, in C, holds it up;
then, and only then, SIGUSR2 has faulthandler write without the lock. Done to Python
code that runs, that reads frames while they change and crashes the process (CPython
3.11, seven threads in short calls: within six)."""

import contextlib
import faulthandler
import os
import signal
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from common.files.system_errors import reason_of
from common.resources import raise_if_exhausted
from migration.errors import StateUnwritable

#: Asks for the stacks.
ASK = signal.SIGUSR1
#: Asks again, when no answer came: a thread is in C code that never lets Python go on.
INSIST = signal.SIGUSR2
#: Frames of one thread that are written.
DEEPEST = 100


def stack_path(state_dir: Path, worker_id: int) -> Path:
    """Where worker N writes the Python stacks of its threads when it is asked to."""
    return state_dir / f"migration_worker{worker_id}.stack"


def write_on_signal(state_dir: Path, worker_id: int) -> None:
    """From now on ASK and INSIST append the stack of every thread to `stack_path`.

    To be called in the main thread, before any other is started: they all inherit that
    ASK is left to one of them. Raises StateUnwritable."""
    path = stack_path(state_dir, worker_id)
    try:
        descriptor = os.open(
            path,
            os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_APPEND | os.O_CLOEXEC,
            0o644,
        )
    except OSError as error:
        raise_if_exhausted(error)
        raise StateUnwritable(f"cannot write {path}: {reason_of(error)}") from error
    # Without a handler a thread that does not inherit the mask would end the process.
    signal.signal(ASK, lambda _number, _frame: None)
    signal.pthread_sigmask(signal.SIG_BLOCK, {ASK})
    faulthandler.register(INSIST, file=descriptor, all_threads=True)
    threading.Thread(
        target=_write_when_asked, args=(descriptor,), name="stacks", daemon=True
    ).start()


def _write_when_asked(descriptor: int) -> None:
    while True:
        signal.sigwait({ASK})
        # A disk that is full takes no stack now, perhaps the next time.
        with contextlib.suppress(OSError):
            os.write(descriptor, "\n".join(_lines()).encode("utf-8", "replace") + b"\n")


def _lines() -> Iterator[str]:
    """As faulthandler writes them: the main thread last, innermost frames first."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    frames = sys._current_frames()
    del frames[threading.get_ident()]
    for ident in sorted(
        frames, key=lambda ident: ident == threading.main_thread().ident
    ):
        yield f"Thread {names.get(ident, hex(ident))} (most recent call first):"
        yield from _places(frames[ident])


def _places(frame: FrameType | None) -> Iterator[str]:
    for _ in range(DEEPEST):
        if frame is None:
            return
        code = frame.f_code
        yield f'  File "{code.co_filename}", line {frame.f_lineno or 0} in {code.co_name}'
        frame = frame.f_back
    yield "  ..."
