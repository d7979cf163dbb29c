"""Alerts: a line in the log, and a POST to ALERT_WEBHOOK_URL if there is one."""

import threading

import requests

from auto_monitor.record.action_log import ActionLog
from common.lazily import tenacity
from common.sanitize import for_log, sanitize_text

#: Seconds to connect and to answer; number of tries.
TIMEOUTS, TRIES = (5.0, 10.0), 3
#: The most of a diff that is sent, in characters; the log has all of it.
LONGEST_DIFF = 3000


class WebhookAlerts:
    """Sends texts to a webhook without ever blocking the monitor.

    One body serves the formats of Slack, Discord and ntfy.
    """

    def __init__(self, url: str, action_log: ActionLog) -> None:
        """`url` is a secret and is never logged.

        If it is empty, only the log is written.
        """
        self._url = url
        self._log = action_log
        self._threads: list[threading.Thread] = []

    def tell(self, text: str, diff: str = "") -> None:
        """Logs the text as an error and sends it in the background, with the `diff`."""
        self._log.error("%s", text)
        self._log.show(diff)
        self._send_later(text, diff)

    def announce(self, text: str) -> None:
        """Logs the text as information and sends it in the background."""
        self._log.info("%s", text)
        self._send_later(text)

    def _send_later(self, text: str, diff: str = "") -> None:
        if self._url:
            shown = sanitize_text(diff, multiline=True)[:LONGEST_DIFF]
            body = "\n\n".join(filter(None, (for_log(text, 2000), shown)))
            thread = threading.Thread(
                target=self._send,
                args=(body,),
                name="alert",
                daemon=True,
            )
            self._threads = [other for other in self._threads if other.is_alive()] + [
                thread
            ]
            thread.start()

    def finish(self, seconds: float) -> None:
        """Waits at most `seconds` for each alert that is being sent."""
        for thread in self._threads:
            thread.join(seconds)

    def _send(self, text: str) -> None:
        sending = tenacity.Retrying(
            stop=tenacity.stop_after_attempt(TRIES),
            wait=tenacity.wait_exponential(1, 10),
            retry=tenacity.retry_if_exception_type(requests.RequestException),
            reraise=True,
        )
        try:
            sending(self._post, text)
        except (requests.RequestException, ValueError) as error:
            self._log.warning(
                "The alert could not be sent (%s); is ALERT_WEBHOOK_URL right?",
                type(error).__name__,
            )

    def _post(self, text: str) -> None:
        with requests.post(
            self._url,
            json={"text": text, "content": text, "message": text},
            timeout=TIMEOUTS,
        ) as answer:
            answer.raise_for_status()
