"""The audit's process; the worker starts it (`migration/audit/child.py`).

`python -m migration.audit` reads an order from standard input and ends with it.
"""

import os
import sys
import threading

from common.sanitize import for_log
from migration.audit import messages
from migration.audit.messages import Done, Failed, Message
from migration.audit.run import audit
from migration.errors import MigrationError


def main() -> int:
    """Audits one pass; returns 0 when every book was dealt with."""
    order = messages.order(sys.stdin.buffer.readline())
    threading.Thread(target=_end_with_the_worker, daemon=True).start()
    try:
        audit(order, _tell)
    except MigrationError as error:
        _tell(Failed(for_log(str(error))))
        return 1
    except Exception as error:  # noqa: BLE001
        # The worker must be told whatever it is.
        _tell(Failed(for_log(f"{type(error).__name__}: {error}")))
        return 1
    _tell(Done())
    return 0


def _end_with_the_worker() -> None:
    """Ends this process when the worker is gone, however it died."""
    while os.read(sys.stdin.fileno(), 1):
        pass
    os._exit(1)


def _tell(message: Message) -> None:
    sys.stdout.write(messages.line(message) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
