"""Access to the page: single-use links, sessions in a cookie, a token for scripts.

All are kept as hashes, mode 0600. There is one file per link and session, named by the
hash of its secret: the process that can remove a link's file was the first to use it,
whichever process made it.
"""

import hashlib
import hmac
import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

#: Seconds for which a link and a session are valid.
LINK_SECONDS, SESSION_SECONDS = 24 * 3600.0, 30 * 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Access:
    """The keys of one dashboard.

    Files have mode 0600, and folders 0700 where their names matter.
    """

    folder: Path

    def prepare(self) -> None:
        """Creates missing folders and the token for scripts. Raises OSError."""
        for name in ("links", "sessions"):
            path = self.folder / name
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.chmod(0o700)
        if not self.token_path.exists():
            _write(self.token_path, secrets.token_urlsafe(32) + "\n")

    @property
    def token_path(self) -> Path:
        """The path of the token for scripts, such as Prometheus's."""
        return self.folder / "token"

    def new_link(self) -> str:
        """Returns the secret of a new single-use link. Raises OSError."""
        self.prepare()
        return self._keep("links", LINK_SECONDS)

    def enter(self, link: str) -> str | None:
        """Returns the secret of a new session for an unused link.

        Returns None for any other.
        """
        return (
            self._keep("sessions", SESSION_SECONDS)
            if self._spend("links", link, LINK_SECONDS)
            else None
        )

    def knows(self, session: str) -> bool:
        """Whether this is the cookie of a session.

        It is looked up by its hash, so that no comparison leaks anything.
        """
        return bool(session) and _fresh(
            self.folder / "sessions" / _hash(session), SESSION_SECONDS
        )

    def leave(self, session: str) -> None:
        (self.folder / "sessions" / _hash(session)).unlink(missing_ok=True)

    def is_token(self, given: str) -> bool:
        """Whether this is the token for scripts."""
        try:
            kept = self.token_path.read_text("ascii").strip()
        except OSError:
            return False
        return bool(kept) and hmac.compare_digest(
            kept.encode(), given.encode("utf-8", "surrogateescape")
        )

    @staticmethod
    def form_token(session: str) -> str:
        """Returns what pages of this session send with every command."""
        return hashlib.sha256(
            b"form:" + session.encode("utf-8", "surrogateescape")
        ).hexdigest()

    def is_form_token(self, session: str, given: str) -> bool:
        """Whether this comes from a page of the session."""
        return hmac.compare_digest(
            self.form_token(session).encode(), given.encode("utf-8", "surrogateescape")
        )

    def _keep(self, kind: str, seconds: float) -> str:
        for path in (self.folder / kind).iterdir():
            if not _fresh(path, seconds):
                path.unlink(missing_ok=True)
        secret = secrets.token_urlsafe(32)
        _write(self.folder / kind / _hash(secret), "")
        return secret

    def _spend(self, kind: str, secret: str, seconds: float) -> bool:
        path = self.folder / kind / _hash(secret)
        fresh = _fresh(path, seconds)
        try:
            path.unlink()
        except OSError:
            return False
        return fresh


def host_of(header: str) -> str:
    """Returns the name in a Host header: `[::1]:8765` -> `::1`; "" if malformed.

    In lower case, without the port.
    """
    try:
        return (urlsplit(f"//{header}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def same_origin(headers: Mapping[str, str], host: str) -> bool:
    """Whether a page of ours sent these headers.

    A browser says so; a request without such a header is not allowed.
    """
    site, origin = headers.get("Sec-Fetch-Site"), headers.get("Origin")
    if site is not None and site != "same-origin":
        return False
    if origin is not None:
        return urlsplit(origin).netloc == host
    return site is not None


def _hash(secret: str) -> str:
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).hexdigest()


def _fresh(path: Path, seconds: float) -> bool:
    try:
        return time.time() - path.stat().st_mtime < seconds
    except OSError:
        return False


def _write(path: Path, text: str) -> None:
    descriptor = os.open(
        path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600
    )
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
