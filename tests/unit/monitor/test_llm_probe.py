"""Whether the LLM answers is said at the start."""

import pytest

from auto_monitor.observe.llm import OPENAI, LlmProbe, verdict
from common.json_value import Json
from common.settings.monitor import Llm

MODELS: Json = {"data": [{"id": "gpt-4o-mini"}, {"id": "qwen:latest"}, 7, {"x": 1}]}


@pytest.mark.parametrize(
    ("status", "body", "model", "said"),
    [
        (200, MODELS, "gpt-4o-mini", ""),
        (200, MODELS, "qwen", ""),
        (200, MODELS, "other", "it has no model other (OPENAI_MODEL)"),
        (200, {"data": []}, "other", ""),
        (200, None, "other", ""),
        (200, [], "other", ""),
        (401, {"error": "x"}, "m", "it refuses the key (HTTP 401)"),
        (403, None, "m", "it refuses the key (HTTP 403)"),
        (404, None, "m", ""),
        (501, None, "m", ""),
        (429, None, "m", "HTTP 429"),
        (503, None, "m", "HTTP 503"),
        (302, None, "m", "HTTP 302"),
    ],
)
def test_what_an_answer_says(status: int, body: Json, model: str, said: str) -> None:
    """A small server without a list of models is as good as any."""
    assert verdict(status, body, model) == said


@pytest.mark.parametrize(
    ("base", "asked"),
    [("", f"{OPENAI}/models"), ("http://nas:8080/v1/", "http://nas:8080/v1/models")],
)
def test_the_list_of_models_is_asked_for(base: str, asked: str) -> None:
    """Of the server that will be asked, with the key it will get."""
    found: list[tuple[str, str]] = []

    def fetch(url: str, key: str) -> tuple[int, Json]:
        found.append((url, key))
        return 200, MODELS

    given = Llm(openai_api_key="k", openai_base_url=base)
    probe = LlmProbe(given, fetch)
    before = probe.trouble
    probe.ask()
    assert (found, before, probe.trouble) == ([(asked, "k")], None, "")


def test_one_that_cannot_be_reached_is_named_without_its_url() -> None:
    """There may be a password in it."""

    def fetch(url: str, key: str) -> tuple[int, Json]:
        raise ConnectionRefusedError(f"{url} {key}")

    probe = LlmProbe(Llm(openai_api_key="k"), fetch)
    probe.ask()
    assert probe.trouble == "no connection (ConnectionRefusedError)"
