"""What the monitor says and does, in words: `monitor.log` has all of it,
`auto_restart.log` only what was done."""

import logging
import logging.handlers
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from auto_monitor.decide.redact import secret_values
from migration.state_files import logs
from migration.state_files.logs import Formatter, json_handler

#: A log is rotated at this size, bytes; this many old ones stay.
MAX_BYTES, BACKUPS = 20_000_000, 5


class ActionLog:
    """Says things once, and tells what is done from what would be done."""

    def __init__(
        self, log: logging.Logger, actions: logging.Logger, *, dry_run: bool
    ) -> None:
        """`actions` passes what it is told on to `log`."""
        self._log = log
        self._actions = actions
        self.dry_run = dry_run
        self._said: dict[str, str] = {}
        self._said_at: dict[str, datetime] = {}
        self.info = log.info
        self.warning = log.warning
        self.error = log.error

    def act(self, text: str) -> bool:
        """Says what is about to be done; False in a dry run, where it is only said,
        once."""
        if self.dry_run:
            self.once(f"would {text.split(':')[0]}", f"Would do: {text}")
            return False
        self._actions.info("%s", text)
        return True

    def done(self, text: str) -> None:
        """Says what came of it."""
        self._actions.info("%s", text)

    def once(self, key: str, text: str, detail: str | None = None) -> bool:
        """Says the text unless the same `detail` (or text) was said last under this
        key; True when it was said."""
        mark = text if detail is None else detail
        if self._said.get(key) == mark:
            return False
        self._said[key] = mark
        self._log.info("%s", text)
        return True

    def often(self, key: str, text: str, now: datetime, span: timedelta) -> None:
        """Says the text, whatever was said before, unless that was within `span` under
        this key."""
        last = self._said_at.get(key)
        if last is None or now - last >= span:
            self._said_at[key] = now
            self._log.warning("%s", text)

    def forget(self, key: str) -> None:
        """What was said under this key may be said again."""
        self._said.pop(key, None)
        self._said_at.pop(key, None)


def mask(environment: Mapping[str, str]) -> None:
    """From now on no log shows the secrets of this environment."""
    for secret in secret_values(environment):
        logs.mask(secret)


@contextmanager
def opened(
    state_dir: Path, *, dry_run: bool, console: bool, as_json: bool = False
) -> Iterator[ActionLog]:
    """The action log on its two files, closed at the end; `as_json`: also as NDJSON.
    Raises OSError."""
    log, actions = (
        logging.getLogger("auto_monitor"),
        logging.getLogger("auto_monitor.actions"),
    )
    log.setLevel(logging.INFO)
    log.propagate = False
    handlers: list[tuple[logging.Logger, logging.Handler]] = [
        (log, _file(state_dir / "monitor.log"))
    ]
    if as_json:
        handlers.append(
            (log, json_handler(state_dir / "monitor.log", {"source": "monitor"}))
        )
    if not dry_run:
        handlers.append((actions, _file(state_dir / "auto_restart.log")))
    if console:
        handlers.append((log, logging.StreamHandler(sys.stderr)))
    for logger, handler in handlers:
        if handler.formatter is None:
            handler.setFormatter(Formatter())
        logger.addHandler(handler)
    try:
        yield ActionLog(log, actions, dry_run=dry_run)
    finally:
        for logger, handler in handlers:
            logger.removeHandler(handler)
            handler.close()


def _file(path: Path) -> logging.Handler:
    return logging.handlers.RotatingFileHandler(
        path,
        maxBytes=MAX_BYTES,
        backupCount=BACKUPS,
        encoding="utf-8",
        errors="replace",
    )
