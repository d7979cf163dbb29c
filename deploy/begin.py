"""What `./start.sh` runs: a Ctrl-C while the program is still loaded ends it quietly.

It is run as a file by a Python that has loaded nothing yet (`-S -P`). For the same
reason it uses what is in the interpreter itself: the modules `signal` and `os` alone take
longer to load than a quick hand needs.
"""

import _signal  # type: ignore[import-not-found]  # no stub of it
import posix
import sys

#: The exit status after a Ctrl-C.
_STATUS = 130


def _leave(_number: int, _frame: object) -> None:
    posix.write(2, b"Stopped; nothing was started\n")
    posix._exit(_STATUS)


if _signal.getsignal(_signal.SIGINT) != _signal.SIG_IGN:
    _signal.signal(_signal.SIGINT, _leave)
# One that start.sh has had wait comes now.
_signal.pthread_sigmask(_signal.SIG_UNBLOCK, {_signal.SIGINT})


def main() -> int:
    """Returns the exit status of `deploy.launch`."""
    if sys.flags.no_site:
        import site

        sys.path.insert(0, posix.getcwd())
        site.main()
    from deploy.launch import main as start

    return start()


if __name__ == "__main__":
    sys.exit(main())
