"""Tokens with MyBookshelf2's claims, signed with HS256.

Access tokens are valid for 4 hours, refresh tokens for 365 days.
"""

import hashlib
import json
import logging
import secrets
import sqlite3
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jwt

from bookshelf.access.users import User
from bookshelf.storage.files import write_file

ACCESS_SECONDS = 4 * 3600
REFRESH_SECONDS = 365 * 24 * 3600
#: The most tokens remembered, whose signatures need not be checked again.
REMEMBERED = 1000
#: The length of each secret, in hexadecimal digits.
SECRET_CHARACTERS = 64

log = logging.getLogger(__name__)


class Tokens:
    """Makes and checks tokens with the secrets of one data directory."""

    def __init__(
        self,
        data_dir: Path,
        ended: Mapping[str, float],
        more: Mapping[str, bool] | None = None,
    ) -> None:
        """Reads the secrets, or makes them (mode 0600).

        `ended` are sessions that were logged out, as read by the function `ended`.
        `more` are claims of every access token: what this server has beyond
        MyBookshelf2.
        """
        self._more = dict(more or {})
        self._access, self._refresh = _secrets(data_dir / "secrets.json")
        self._checked: dict[str, tuple[int, float]] = {}
        self._ended = dict(ended)

    def access(self, user: User, now: float, **more: str) -> str:
        """Returns an access token."""
        claims = {
            "id": user.id,
            "user_name": user.name,
            "email": user.email,
            "roles": user.roles,
            **self._more,
            **more,
        }
        return jwt.encode(
            {**claims, "exp": int(now) + ACCESS_SECONDS}, self._access, "HS256"
        )

    def session(self, user: User, now: float) -> str:
        """Returns an access token for one browser, which can be ended alone."""
        return self.access(user, now, jti=secrets.token_hex(16))

    def end(self, token: str, now: float) -> tuple[str, float] | None:
        """Revokes a token.

        Returns what `end_session` must record, None if it was not valid.
        """
        if self.user_id(token) is None:
            return None
        until = float(jwt.decode(token, options={"verify_signature": False})["exp"])
        self._ended = {kept: end for kept, end in self._ended.items() if end > now}
        self._ended[_session(token)] = until
        self._checked.clear()
        return _session(token), until

    def refresh(self, user: User, now: float) -> str:
        """Returns a refresh token."""
        return jwt.encode(
            {"id": user.id, "exp": int(now) + REFRESH_SECONDS}, self._refresh, "HS256"
        )

    def user_id(self, token: str, *, expired_too: bool = False) -> int | None:
        """Returns the user id of a valid access token."""
        if expired_too:
            return (
                None
                if _session(token) in self._ended
                else _id(token, self._access, expired_too)
            )
        user_id, until = self._checked.get(token, (None, 0.0))
        if user_id is None or until <= time.time():
            user_id = _id(token, self._access, expired_too)
            if user_id is not None and _session(token) in self._ended:
                return None
            if user_id is not None:
                self._remember(token, user_id)
        return user_id

    def _remember(self, token: str, user_id: int) -> None:
        """Remembers a valid signature; only the time is checked again."""
        if len(self._checked) >= REMEMBERED:
            self._checked.clear()
        until = jwt.decode(token, options={"verify_signature": False})["exp"]
        self._checked[token] = (user_id, float(until))

    def refresh_id(self, token: str) -> int | None:
        """Returns the user id of a valid refresh token."""
        return _id(token, self._refresh, False)


def _secrets(path: Path) -> tuple[str, str]:
    """Returns the secrets that sign access and refresh tokens; replaces damaged ones.

    Raises OSError.
    """
    if path.exists():
        try:
            kept = json.loads(path.read_bytes())
            if len(kept["access"]) == len(kept["refresh"]) == SECRET_CHARACTERS:
                return str(kept["access"]), str(kept["refresh"])
        except (ValueError, TypeError, KeyError, RecursionError):
            pass
        log.warning(
            "%s was damaged: new secrets are in it, and everybody has to log in again",
            path,
        )
    made = (
        secrets.token_hex(SECRET_CHARACTERS // 2),
        secrets.token_hex(SECRET_CHARACTERS // 2),
    )
    write_file(path, json.dumps({"access": made[0], "refresh": made[1]}).encode())
    return made


def _session(token: str) -> str:
    """Returns the hash by which a token is remembered.

    It covers all that is signed; the signature itself can be spelled in several ways.
    """
    return hashlib.sha256(
        token.rpartition(".")[0].encode("utf-8", "replace")
    ).hexdigest()


def end_session(db: sqlite3.Connection, session: str, until: float, now: float) -> None:
    """Records that a session was ended, for as long as its token would be valid."""
    db.execute("DELETE FROM ended_session WHERE until <= ?", (now,))
    db.execute(
        "INSERT OR REPLACE INTO ended_session (session, until) VALUES (?, ?)",
        (session, until),
    )


def ended(db: sqlite3.Connection) -> dict[str, float]:
    """Returns the ended sessions and until when their tokens were valid."""
    return dict(db.execute("SELECT session, until FROM ended_session").fetchall())


def _id(token: str, secret: str, expired_too: bool) -> int | None:
    if not token.isascii():
        return None
    try:
        options: Any = {"verify_exp": not expired_too, "require": ["exp"]}
        claims = jwt.decode(token, secret, algorithms=["HS256"], options=options)
    except (jwt.InvalidTokenError, ValueError, RecursionError):
        # Its parts are JSON that anyone can write.
        return None
    number = claims.get("id")
    return number if isinstance(number, int) else None


def issue(tokens: Tokens, user: User) -> dict[str, str]:
    """Returns the answer to a login."""
    now = time.time()
    return {
        "access_token": tokens.access(user, now),
        "refresh_token": tokens.refresh(user, now),
    }
