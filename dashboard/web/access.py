"""Who may see the page: links that work once, sessions in a cookie, a token for
scripts. All kept as hashes, 0600.

A file per link and session, named by the hash of its secret: whoever can remove the
link's file was the first to use it, whichever process made it."""

import hashlib
import hmac
import os
import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

#: Seconds that a link and a session are good for.
LINK_SECONDS, SESSION_SECONDS = 24 * 3600.0, 30 * 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Access:
    """The keys of one dashboard: files of mode 0600, in folders of mode 0700 where
    their names matter."""

    folder: Path

    def prepare(self) -> None:
        """Makes the folders and the token for scripts where they are missing. Raises
        OSError."""
        for name in ("links", "sessions"):
            path = self.folder / name
            path.mkdir(parents=True, exist_ok=True, mode=0o700)
            path.chmod(0o700)
        if not self.token_path.exists():
            _write(self.token_path, secrets.token_urlsafe(32) + "\n")

    @property
    def token_path(self) -> Path:
        """The token for scripts, such as Prometheus's."""
        return self.folder / "token"

    def new_link(self) -> str:
        """The secret of a link that lets one browser in. Raises OSError."""
        self.prepare()
        return self._keep("links", LINK_SECONDS)

    def enter(self, link: str) -> str | None:
        """The secret of a new session for a link that was not used yet; None for any
        other."""
        return (
            self._keep("sessions", SESSION_SECONDS)
            if self._spend("links", link, LINK_SECONDS)
            else None
        )

    def knows(self, session: str) -> bool:
        """Is this the cookie of a session? Looked up by its hash, so that no comparison
        leaks anything."""
        return bool(session) and _fresh(
            self.folder / "sessions" / _hash(session), SESSION_SECONDS
        )

    def leave(self, session: str) -> None:
        """Ends a session."""
        (self.folder / "sessions" / _hash(session)).unlink(missing_ok=True)

    def is_token(self, given: str) -> bool:
        """Is this the token for scripts?"""
        try:
            kept = self.token_path.read_text("ascii").strip()
        except OSError:
            return False
        return bool(kept) and hmac.compare_digest(
            kept.encode(), given.encode("utf-8", "surrogateescape")
        )

    @staticmethod
    def form_token(session: str) -> str:
        """What a page of this session sends along with every command."""
        return hashlib.sha256(
            b"form:" + session.encode("utf-8", "surrogateescape")
        ).hexdigest()

    def is_form_token(self, session: str, given: str) -> bool:
        """Does this come from a page of the session?"""
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
    """The name in a Host header, lower case, without port: `[::1]:8765` -> `::1`; ""
    for nonsense."""
    try:
        return (urlsplit(f"//{header}").hostname or "").rstrip(".")
    except ValueError:
        return ""


def same_origin(headers: Mapping[str, str], host: str) -> bool:
    """Did a page of ours send these headers? A browser says so; who does not say it is
    not let through."""
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
