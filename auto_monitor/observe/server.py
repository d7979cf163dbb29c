"""Whether the server answers; checked before hung workers are blamed."""

from datetime import datetime, timedelta

import requests

from auto_monitor.model import age


class HttpServerProbe:
    """Checks one server and remembers when it was last away.

    A check takes at most `seconds`. `trouble` is why it did not answer the last time,
    or "".
    """

    def __init__(self, url: str, *, seconds: float, settling: timedelta) -> None:
        self._url = url
        self._seconds = seconds
        self._settling = settling
        self._away_at: datetime | None = None
        self.trouble = ""

    def answers_now(self, now: datetime) -> bool:
        """Whether it answers at this moment."""
        self.trouble = server_trouble(self._url, self._seconds)
        if self.trouble:
            self._away_at = now
        return not self.trouble

    def has_settled(self, now: datetime) -> bool:
        """Whether it has answered for `settling`.

        By then the workers have had time to notice.
        """
        return self._away_at is None or age(self._away_at, now) >= self._settling

    def answers(self, now: datetime) -> bool:
        """Whether it answers, and has answered for `settling`."""
        return self.answers_now(now) and self.has_settled(now)


def server_trouble(url: str, seconds: float) -> str:
    """Returns why a server does not answer, in a few words, or "".

    Any answer that is not a failure of the server itself counts, even a refused login.
    """
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
