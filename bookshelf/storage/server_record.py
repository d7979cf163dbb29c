"""DATA_DIR/server.json: where the server listens and which process it is.

`./start.sh` and `./stop.sh` read it.
"""

import logging
import os
from pathlib import Path

from bookshelf.storage.files import write_file
from common.errors import CodedError
from common.files.json_files import read_json
from common.json_value import Json

log = logging.getLogger(__name__)


#: So many former URLs are kept.
_MOST_URLS = 50


class RecordUnwritable(CodedError):
    """The record cannot be written at the start; `reason` is why."""

    code = "data-dir-unusable"

    def __init__(self, reason: OSError) -> None:
        super().__init__(str(reason))
        self.reason = reason


def former_urls(data_dir: Path, url: str) -> list[Json]:
    """Returns where the server has listened before it listens on `url`.

    A migration's ledger knows one of them, and is found by it.
    """
    last = read_json(data_dir / "server.json")
    if not isinstance(last, dict):
        return []
    former = last.get("former")
    known = [*(former if isinstance(former, list) else []), last.get("url")]
    texts = (text for text in known if isinstance(text, str) and text != url)
    found: list[Json] = list(dict.fromkeys(texts))
    return found[-_MOST_URLS:]


class ServerRecord:
    """The record of a running server, restored when it is damaged."""

    def __init__(self, data_dir: Path, data: bytes, lock: int) -> None:
        """`lock` is the data directory's lock descriptor, held while running."""
        self._path, self._data, self._lock = data_dir / "server.json", data, lock
        self._told = False

    def write(self) -> None:
        """Writes the record. Raises RecordUnwritable."""
        try:
            write_file(self._path, self._data)
        except OSError as error:
            raise RecordUnwritable(error) from error

    def keep(self) -> None:
        """Restores the record if it was damaged or deleted.

        A server that is not found is never stopped, and the next start would use
        another port, which is another server for the ledger.
        """
        if self._stands() or not self._ours():
            return
        try:
            write_file(self._path, self._data)
        except OSError as error:
            if not self._told:
                log.warning(
                    "%s was damaged and cannot be written again: %s", self._path, error
                )
            self._told = True
            return
        log.warning(
            "%s was damaged or deleted while the server was running: it is written again",
            self._path,
        )

    def _stands(self) -> bool:
        try:
            return self._path.read_bytes() == self._data
        except OSError:
            return False

    def _ours(self) -> bool:
        """Whether this is still the directory the server has locked.

        Another one at its path may be another server's.
        """
        try:
            return os.path.samestat(
                os.fstat(self._lock), self._path.with_name("lock").stat()
            )
        except OSError:
            return False
