"""Does the server answer? Asked before workers that hang are blamed for it."""

from datetime import datetime, timedelta

import requests

from auto_monitor.model import age


class ServerProbe:
    """One server, and when it was last found away. One answer takes at most `seconds`."""

    def __init__(self, url: str, *, seconds: float, settling: timedelta) -> None:
        self._url = url
        self._seconds = seconds
        self._settling = settling
        self._away_at: datetime | None = None

    def answers(self, now: datetime) -> bool:
        """Does it answer, and has it for `settling`? The workers must have the time to notice that by themselves."""
        if not server_answers(self._url, self._seconds):
            self._away_at = now
        return self._away_at is None or age(self._away_at, now) >= self._settling


def server_answers(url: str, seconds: float) -> bool:
    """Any answer that is not a failure of the server itself counts, also a refusal to let us in."""
    try:
        with requests.get(url, timeout=(seconds, seconds), allow_redirects=False, stream=True) as answer:
            return answer.status_code < 500
    except requests.RequestException:
        return False
