"""The monitor's logs: `monitor.log` has everything, `auto_restart.log` only actions."""

import logging
import logging.handlers
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from auto_monitor.decide.secret_values import secret_values
from common.hints import hint
from migration.state_files import logs
from migration.state_files.logs import Formatter, json_handler

#: A log is rotated at this size in bytes; this many old ones are kept.
MAX_BYTES, BACKUPS = 20_000_000, 5


class ActionLog:
    """Logs messages, some only once, and marks what a dry run would do."""

    def __init__(
        self,
        log: logging.Logger,
        actions: logging.Logger,
        *,
        dry_run: bool,
        state_dir: Path | None = None,
    ) -> None:
        """`actions` propagates its messages to `log`; `state_dir` is for commands that
        people are told."""
        self._log = log
        self._state_dir = state_dir
        self._actions = actions
        self.dry_run = dry_run
        self._said: dict[str, str] = {}
        self._said_at: dict[str, datetime] = {}
        self.info = log.info
        self.warning = log.warning
        self.error = log.error

    def hint(self, name: str, *arguments: str) -> str:
        """Returns a command about this migration, to be pasted."""
        return hint(name, *arguments, state_dir=self._state_dir)

    def act(self, text: str) -> bool:
        """Logs an action before it is done.

        In a dry run logs it once and returns False.
        """
        if self.dry_run:
            self.once(f"would {text.split(':')[0]}", f"Would do: {text}")
            return False
        self._actions.info("%s", text)
        return True

    def show(self, lines: str) -> None:
        """Logs text of several lines as it is, indentation included."""
        for line in lines.splitlines():
            self._log.info("  %s", line, extra={logs.AS_IT_IS: True})

    def done(self, text: str) -> None:
        """Logs the result of an action."""
        self._actions.info("%s", text)

    def once(self, key: str, text: str, detail: str | None = None) -> bool:
        """Logs the text unless the last one under this key was the same.

        Returns whether it did. `detail`, if given, is compared instead of the text.
        """
        mark = text if detail is None else detail
        if self._said.get(key) == mark:
            return False
        self._said[key] = mark
        self._log.info("%s", text)
        return True

    def often(self, key: str, text: str, now: datetime, span: timedelta) -> None:
        """Logs the text as a warning, at most once per `span` under this key."""
        last = self._said_at.get(key)
        if last is None or now - last >= span:
            self._said_at[key] = now
            self._log.warning("%s", text)

    def forget(self, key: str) -> None:
        """Allows what was logged under this key to be logged again."""
        self._said.pop(key, None)
        self._said_at.pop(key, None)


def mask(environment: Mapping[str, str]) -> None:
    """Masks the secrets of this environment in all logs from now on."""
    for secret in secret_values(environment):
        logs.mask(secret)


@contextmanager
def opened(
    state_dir: Path, *, dry_run: bool, console: bool, as_json: bool = False
) -> Iterator[ActionLog]:
    """Yields the action log on its two files, and closes it at the end. Raises OSError.

    With `as_json` it is also written as NDJSON.
    """
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
        yield ActionLog(log, actions, dry_run=dry_run, state_dir=state_dir)
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
