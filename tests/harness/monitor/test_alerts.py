"""WebhookAlerts against a webhook on loopback."""

import json
import logging
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from auto_monitor.act.alerts import WebhookAlerts
from auto_monitor.record.action_log import ActionLog


class Webhook:
    """Keeps what it was sent."""

    def __init__(self) -> None:
        self.sent: list[dict[str, str]] = []
        hook = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                """One alert."""
                body = self.rfile.read(int(self.headers["Content-Length"]))
                hook.sent.append(json.loads(body))
                self.send_response(204)
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Silence."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/secret"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def stop(self) -> None:
        """Ends it."""
        self._server.shutdown()
        self._server.server_close()


@pytest.fixture
def webhook() -> Iterator[Webhook]:
    """One that listens."""
    made = Webhook()
    yield made
    made.stop()


def alerts(url: str) -> WebhookAlerts:
    """WebhookAlerts for a webhook; the log is the test's."""
    log = logging.getLogger("alerts")
    return WebhookAlerts(url, ActionLog(log, log, dry_run=False))


def test_what_is_wrong_reaches_webhook_and_log(
    webhook: Webhook, caplog: pytest.LogCaptureFixture
) -> None:
    """In the fields of three services; the address is a secret and not in the log."""
    sender = alerts(webhook.url)
    sender.tell("worker 2 is paused")
    sender.announce("the pass is closed\x1b[31m")
    sender.finish(10)
    texts = sorted(sent["text"] for sent in webhook.sent)
    assert len(texts) == 2
    assert "\x1b" not in texts[0]
    assert texts[1] == "worker 2 is paused"
    assert all(
        sent["text"] == sent["content"] == sent["message"] for sent in webhook.sent
    )
    assert ("ERROR", "worker 2 is paused") in [
        (record.levelname, record.message) for record in caplog.records
    ]
    assert "secret" not in caplog.text


def test_without_a_webhook_the_log_is_told(caplog: pytest.LogCaptureFixture) -> None:
    """And nobody else."""
    sender = alerts("")
    sender.tell("x is wrong")
    sender.finish(1)
    assert "x is wrong" in caplog.text
