"""Users, their roles and passwords."""

import base64
import secrets
import sqlite3
from dataclasses import dataclass
from pathlib import Path

import argon2

from bookshelf.storage.files import write_file

#: Each role includes those before it.
ROLES = ("guest", "user", "trusted_user", "superuser", "admin")

_hasher = argon2.PasswordHasher()


@dataclass(frozen=True, slots=True)
class User:
    """A user of the server."""

    id: int
    name: str
    email: str
    role: str

    @property
    def roles(self) -> list[str]:
        """The role with all it includes."""
        return list(ROLES[: ROLES.index(self.role) + 1])

    def may(self, role: str) -> bool:
        """Whether the user has this role or one that includes it."""
        return role in self.roles


def first_user(
    db: sqlite3.Connection, data_dir: Path, name: str, password: str
) -> None:
    """Creates the first user and writes the login to DATA_DIR/credentials (0600).

    A password given later replaces it, and restores a file that was damaged or deleted.
    """
    row = db.execute("SELECT id FROM user WHERE user_name = ?", (name,)).fetchone()
    if row is not None and not password:
        return
    chosen = password or secrets.token_urlsafe(12)
    _write_login(
        data_dir / "credentials", f"username={name}\npassword={chosen}\n".encode()
    )
    if row is not None and verify(stored_password(db, name), chosen):
        return
    hashed = _hasher.hash(chosen)
    if row is None:
        db.execute(
            "INSERT INTO user (user_name, email, password, role) VALUES (?, ?, ?, 'admin')",
            (name, f"{name}@localhost", hashed),
        )
    else:
        db.execute("UPDATE user SET password = ? WHERE id = ?", (hashed, row[0]))


def _write_login(path: Path, login: bytes) -> None:
    if not (path.is_file() and path.read_bytes() == login):
        write_file(path, login)


def stored_password(db: sqlite3.Connection, name: str) -> str:
    """Returns the hash of a user's password; "" for an unknown user."""
    row = db.execute(
        "SELECT password FROM user WHERE user_name = ? AND active", (name,)
    ).fetchone()
    return "" if row is None else str(row[0])


def verify(hashed: str, password: str) -> bool:
    """Whether this is the password. Takes equally long for unknown users."""
    try:
        _hasher.verify(hashed or _NOBODY, password)
    except argon2.exceptions.VerificationError:
        return False
    return bool(hashed)


def load_user(
    db: sqlite3.Connection,
    *,
    user_id: int | None = None,
    name: str = "",
    email: str = "",
) -> User | None:
    """Returns an active user by id, name or email."""
    row = db.execute(
        "SELECT id, user_name, email, role FROM user WHERE active AND (id = ? OR "
        "user_name = ? OR email = ?)",
        (user_id, name or None, email or None),
    ).fetchone()
    return (
        None
        if row is None
        else User(row["id"], row["user_name"], row["email"], row["role"])
    )


def _no_hash() -> str:
    """Returns a hash that no password has and that takes as long to check as any.

    Hashing a random password instead would make every start of the server as slow as a
    login.
    """
    salt, tag = (
        base64.b64encode(secrets.token_bytes(size)).decode().rstrip("=")
        for size in (_hasher.salt_len, _hasher.hash_len)
    )
    costs = f"m={_hasher.memory_cost},t={_hasher.time_cost},p={_hasher.parallelism}"
    return f"$argon2id$v={argon2.low_level.ARGON2_VERSION}${costs}${salt}${tag}"


_NOBODY = _no_hash()
