"""POST /login as JSON, and limits on trying passwords.

Neither guessing nor a flood of logins gets far.
"""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from bookshelf.access import tokens, users
from bookshelf.access.throttle import Throttle, pair_of
from bookshelf.access.users import User
from bookshelf.application import SHELF
from bookshelf.errors import ApplicationError, HttpError, json_answer
from bookshelf.http.bodies import json_object

#: Seconds added to a failed login, so that guessing is slow.
FAILED_LOGIN_SECONDS = 0.5
#: Passwords checked at once: each takes 64 MB and about 50 ms of a processor.
CHECKED_AT_ONCE = 2
#: The most logins waiting for that: from one address, and in all.
WAITING_OF_ADDRESS, WAITING = 64, 256


class Logins:
    """Counts wrong passwords and logins in progress."""

    def __init__(self) -> None:
        self.throttle = Throttle()
        self._checking = asyncio.Semaphore(CHECKED_AT_ONCE)
        self._waiting: Counter[str] = Counter()

    @asynccontextmanager
    async def turn(self, address: str) -> AsyncIterator[None]:
        """Waits for a turn to check a password.

        Raises HttpError(429) when too many logins wait.
        """
        if (
            self._waiting[address] >= WAITING_OF_ADDRESS
            or self._waiting.total() >= WAITING
        ):
            raise HttpError(429, "Too many logins at once", retry_after=2)
        self._waiting[address] += 1
        try:
            async with self._checking:
                yield
        finally:
            self._waiting[address] -= 1
            self._waiting += Counter()


LOGINS = web.AppKey("logins", Logins)


async def login(request: web.Request) -> web.Response:
    """POST /login as JSON: user name or email with a password, or a refresh token."""
    body = await json_object(request, otherwise="Provide credentials")
    if "refresh_token" in body:
        return await _refresh(request, body["refresh_token"])
    name, email, password = (
        body.get("username"),
        body.get("email"),
        body.get("password"),
    )
    known = name if name is not None else email
    if not isinstance(known, str) or not isinstance(password, str):
        raise HttpError(400, "Provide credentials")
    user = await check_password(
        request,
        known if name is not None else "",
        known if name is None else "",
        password,
    )
    if user is None:
        raise ApplicationError("Invalid Login")
    return json_answer(tokens.issue(request.app[SHELF].tokens, user))


async def check_password(
    request: web.Request, name: str, email: str, password: str
) -> User | None:
    """Returns the user if the password is right; slow if it is not.

    Raises HttpError(429) after too many wrong ones.
    """
    shelf, logins = request.app[SHELF], request.app[LOGINS]
    pair = pair_of(name or email, request.remote)
    _may_try(logins, pair)
    async with logins.turn(pair[1]):
        # Checked again: others of this pair may have failed meanwhile.
        _may_try(logins, pair)
        user = await shelf.database.read(
            lambda db: users.load_user(db, name=name, email=email)
        )
        hashed = await shelf.database.read(
            lambda db: users.stored_password(db, user.name if user else "")
        )
        right = await asyncio.to_thread(users.verify, hashed, password)
        if not right:
            logins.throttle.failed(pair, time.monotonic())
    if right:
        return user
    await asyncio.sleep(FAILED_LOGIN_SECONDS)
    return None


def _may_try(logins: Logins, pair: tuple[str, str]) -> None:
    seconds = logins.throttle.wait(pair, time.monotonic())
    if seconds:
        raise HttpError(
            429,
            f"Too many wrong passwords, try again in {seconds} s",
            retry_after=seconds,
        )


async def _refresh(request: web.Request, token: object) -> web.Response:
    shelf = request.app[SHELF]
    header = request.headers.get("Authorization")
    if not header:
        raise HttpError(400, "Need authorization header to refresh token")
    scheme, _, old = header.partition(" ")
    if scheme.lower() != "bearer":
        raise HttpError(400, "Invalid authorization header")
    user_id = shelf.tokens.user_id(old, expired_too=True)
    refresh_id = shelf.tokens.refresh_id(token) if isinstance(token, str) else None
    if user_id is None:
        raise HttpError(400, "Invalid token")
    if refresh_id is None:
        raise HttpError(400, "Invalid refresh token")
    if refresh_id != user_id:
        raise HttpError(400, "Inconsistent tokens")
    user = await shelf.database.read(lambda db: users.load_user(db, user_id=user_id))
    if user is None:
        raise ApplicationError("Invalid Login")
    return json_answer(
        {"access_token": tokens.issue(shelf.tokens, user)["access_token"]}
    )
