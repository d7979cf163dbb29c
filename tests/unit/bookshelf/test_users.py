"""Passwords: a login says nothing about who exists."""

import argon2

from bookshelf.access import users


def test_nobodys_password_is_checked_as_somebodys() -> None:
    """With the same parameters, so it takes as long; and no password is right."""
    kept = argon2.PasswordHasher().hash("a password")
    nobodys = users._NOBODY
    assert argon2.extract_parameters(nobodys) == argon2.extract_parameters(kept)
    assert not users.verify("", "a password")
    assert users.verify(kept, "a password")
