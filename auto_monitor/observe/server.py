"""Does the server answer? Asked before workers that hang are blamed for it."""

from datetime import datetime, timedelta

import requests

from auto_monitor.model import age


class HttpServerProbe:
    """One server, and when it was last found away. One answer takes at most `seconds`.

    `trouble` is why it did not answer the last time, or "".
    """

    def __init__(self, url: str, *, seconds: float, settling: timedelta) -> None:
        self._url = url
        self._seconds = seconds
        self._settling = settling
        self._away_at: datetime | None = None
        self.trouble = ""

    def answers_now(self, now: datetime) -> bool:
        """Does it answer at this moment?"""
        self.trouble = server_trouble(self._url, self._seconds)
        if self.trouble:
            self._away_at = now
        return not self.trouble

    def has_settled(self, now: datetime) -> bool:
        """Has it answered for `settling`? The workers must have the time to notice that
        by themselves."""
        return self._away_at is None or age(self._away_at, now) >= self._settling

    def answers(self, now: datetime) -> bool:
        """Does it answer, and has it for `settling`?"""
        return self.answers_now(now) and self.has_settled(now)


def server_trouble(url: str, seconds: float) -> str:
    """Why a server does not answer, in a few words, or "".

    Any answer that is not a failure of the server itself counts, also a refusal to let
    us in."""
    try:
        with requests.get(
            url, timeout=(seconds, seconds), allow_redirects=False, stream=True
        ) as answer:
            return f"HTTP {answer.status_code}" if answer.status_code >= 500 else ""
    except requests.Timeout:
        return f"no answer within {seconds:g} s"
    except requests.RequestException as error:
        known = (
            "Connection refused",
            "Connection reset",
            "Name or service not known",
            "No route to host",
        )
        return next(
            (sign.lower() for sign in known if sign in str(error)), "no connection"
        )
