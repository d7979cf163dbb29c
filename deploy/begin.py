"""What `./start.sh` calls: a Ctrl-C while the program is still loaded ends it quietly."""

import os
import signal
import site
import sys
from types import FrameType

#: Set by `./start.sh` when it holds a Ctrl-C back until Python has begun.
HOLDS = "HOLDS_CTRL_C"
#: The exit status after a Ctrl-C.
_STATUS = 130


def main() -> int:
    """Returns the exit status of `deploy.launch`."""
    if os.environ.pop(HOLDS, "") or signal.getsignal(signal.SIGINT) != signal.SIG_IGN:
        signal.signal(signal.SIGINT, _leave)
    if sys.flags.no_site:
        # What takes a while is not loaded before the signal is listened to.
        site.main()
    from deploy.launch import main as start

    return start()


def _leave(_number: int, _frame: FrameType | None) -> None:
    os.write(2, b"Stopped; nothing was started\n")
    os._exit(_STATUS)


if __name__ == "__main__":
    sys.exit(main())
