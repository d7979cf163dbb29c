"""Whether the LLM answers: one cheap question at the monitor's start, in the background.

Its models are listed, which costs nothing. That it does not answer is better known at
the start than when a worker hangs in the night.
"""

import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from common.json_value import Json
from common.sanitize import for_log
from common.settings.load import load, sources
from common.settings.monitor import Llm

#: Where the SDK goes without OPENAI_BASE_URL.
OPENAI = "https://api.openai.com/v1"
#: Seconds to connect, and to wait for an answer.
CONNECT, READ = 5.0, 15.0
#: The server answers, but has no list of models, as some small ones have not.
_NO_LIST = frozenset({404, 405, 501})


@dataclass(slots=True)
class LlmProbe:
    """`fetch` gets a URL and a key; it returns status and body. Raises OSError."""

    given: Llm
    fetch: Callable[[str, str], tuple[int, Json]]
    _said: str | None = field(default=None, init=False)

    @property
    def trouble(self) -> str | None:
        """Why it does not answer, "" when it does; None while that is not known."""
        return self._said

    def begin(self) -> None:
        """Asks in a thread that keeps nobody waiting."""
        threading.Thread(target=self.ask, name="llm-probe", daemon=True).start()

    def ask(self) -> None:
        """Asks now."""
        url = f"{(self.given.openai_base_url or OPENAI).rstrip('/')}/models"
        try:
            status, body = self.fetch(url, self.given.openai_api_key or "none")
        except OSError as error:
            # The text of such an error has the whole URL in it.
            self._said = f"no connection ({type(error).__name__})"
            return
        self._said = verdict(status, body, self.given.openai_model)


def probe(project: Path, environment: Mapping[str, str]) -> LlmProbe:
    """Returns one for the LLM that will be asked."""
    return LlmProbe(load(Llm, sources(project, environment)), fetch)


def verdict(status: int, body: Json, model: str) -> str:
    """Returns what an answer to the list of models says; "" when all is well."""
    if status in (401, 403):
        return f"it refuses the key (HTTP {status})"
    if status in _NO_LIST:
        return ""
    if not 200 <= status < 300:
        return f"HTTP {status}"
    known = set(_names(body))
    if known and model not in known and f"{model}:latest" not in known:
        return f"it has no model {for_log(model, 80)} (OPENAI_MODEL)"
    return ""


def _names(body: Json) -> Iterable[str]:
    models = body.get("data") if isinstance(body, dict) else None
    for one in models if isinstance(models, list) else []:
        if isinstance(one, dict) and isinstance(one.get("id"), str):
            yield str(one["id"])


def fetch(url: str, key: str) -> tuple[int, Json]:
    """Returns status and body, None when it is not JSON. Raises OSError."""
    # Imported here: a monitor without an LLM does without it.
    import requests

    answer = requests.get(
        url, headers={"Authorization": f"Bearer {key}"}, timeout=(CONNECT, READ)
    )
    try:
        return answer.status_code, answer.json()
    except ValueError:
        return answer.status_code, None
