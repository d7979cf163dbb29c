"""A real HTTP server on loopback that speaks the OpenAI API with scripted answers."""

import json
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

#: A reply's text, a status to fail with, or seconds to keep silent.
Reply = str | int | float


def decision(fix_type: str, **more: object) -> str:
    """A well-formed reply."""
    value = {
        "root_cause": "it hangs",
        "fix_type": fix_type,
        "confidence": 0.9,
        "fix_description": "do it",
    }
    whole = {**value, "config_changes": {}, "disk_io_root_cause": None, **more}
    return f"Here it is.\n```json\n{json.dumps(whole)}\n```\n"


class ScriptedLlm:
    """Answers the n-th request with the n-th reply, and from then on with the last one;
    keeps what it was asked."""

    def __init__(self, *replies: Reply) -> None:
        self.asked: list[dict[str, object]] = []
        answer = self._answer_for(replies)

        class Handler(BaseHTTPRequestHandler):
            """One connection."""

            def do_POST(self) -> None:
                """One call."""
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, data = answer(
                    {
                        "path": self.path,
                        "auth": self.headers["Authorization"],
                        **json.loads(body),
                    }
                )
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, format: str, *args: object) -> None:
                """Silence."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _answer_for(
        self, replies: tuple[Reply, ...]
    ) -> Callable[[dict[str, object]], tuple[int, bytes]]:
        def answer(request: dict[str, object]) -> tuple[int, bytes]:
            self.asked.append(request)
            reply = replies[min(len(self.asked), len(replies)) - 1]
            if isinstance(reply, float):
                time.sleep(reply)
                reply = 500
            if isinstance(reply, int):
                return reply, b'{"error": {"message": "scripted"}}'
            choice = {
                "index": 0,
                "finish_reason": "stop",
                "message": {"role": "assistant", "content": reply},
            }
            usage = {"prompt_tokens": 90, "completion_tokens": 10, "total_tokens": 100}
            value = {
                "id": "x",
                "object": "chat.completion",
                "created": 1,
                "model": "m",
                "choices": [choice],
                "usage": usage,
            }
            return 200, json.dumps(value).encode()

        return answer

    def stop(self) -> None:
        """Ends it."""
        self._server.shutdown()
        self._server.server_close()
