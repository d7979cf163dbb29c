"""`migration_worker{N}.stack`: the Python stacks of a worker, written on a signal.

A separate thread waits for SIGUSR1 and reads the frames while it holds the GIL, as
Python code may: no frame disappears meanwhile, and it works whatever the other threads
wait for. A thread that keeps the GIL, in C code, blocks it; then, and only then,
SIGUSR2 has faulthandler write without the GIL. Used on running Python code, that would
read frames while they change and crash the process (CPython 3.11, seven threads making
short calls: within six tries).
"""

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
#: Asks again when there was no answer: a thread in C code holds the GIL.
INSIST = signal.SIGUSR2
#: The most frames written for one thread.
DEEPEST = 100


def stack_path(state_dir: Path, worker_id: int) -> Path:
    """Returns where worker N writes the stacks of its threads on request."""
    return state_dir / f"migration_worker{worker_id}.stack"


def write_on_signal(state_dir: Path, worker_id: int) -> None:
    """Makes ASK and INSIST append the stack of every thread to `stack_path`.

    Call it in the main thread before starting any other: they inherit the mask that
    leaves ASK to one thread. Raises StateUnwritable.
    """
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
    # Without a handler, a thread that does not inherit the mask would end the process.
    signal.signal(ASK, lambda _number, _frame: None)
    signal.pthread_sigmask(signal.SIG_BLOCK, {ASK})
    faulthandler.register(INSIST, file=descriptor, all_threads=True)
    threading.Thread(
        target=_write_when_asked, args=(descriptor,), name="stacks", daemon=True
    ).start()


def _write_when_asked(descriptor: int) -> None:
    while True:
        signal.sigwait({ASK})
        # If the disk is full the stack is lost; the next one may succeed.
        with contextlib.suppress(OSError):
            os.write(descriptor, "\n".join(_lines()).encode("utf-8", "replace") + b"\n")


def _lines() -> Iterator[str]:
    """Formats stacks as faulthandler does: main thread last, innermost frames first."""
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
