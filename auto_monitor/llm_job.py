"""The child process that asks the LLM: `python -m auto_monitor.llm_job QUESTION ANSWER`.

A process of its own, because a network call may take minutes and the monitor must not: it only looks whether the answer
is there. The key is in the environment, never on the command line. The answer file always says how it went.
"""

import os
import sys
from pathlib import Path

import openai
from openai.types.chat import ChatCompletionMessageParam

from auto_monitor import config
from auto_monitor.diagnosis import Diagnosis, FixType, Unreadable, messages, parse
from migration.atomic import read_json, write_json
from migration.model import Json
from migration.sanitize import for_log

#: Used when OPENAI_MODEL is not set.
MODEL = "gpt-4o-mini"


def main() -> int:
    """Returns 0 when an answer was written, good or bad."""
    question, answer = Path(sys.argv[1]), Path(sys.argv[2])
    evidence = read_json(question)
    if not isinstance(evidence, dict):
        return 2
    write_json(answer, ask(evidence))
    return 0


def ask(evidence: dict[str, Json]) -> dict[str, Json]:
    """The answer to one question: at most two calls, the second with what was wrong with the first."""
    model = os.environ.get("OPENAI_MODEL") or MODEL
    result: dict[str, Json] = {"model": model, "tokens": 0, "calls": 0, "error": "", "diagnosis": None}
    talk = list(messages(evidence))
    client = openai.OpenAI(
        api_key=os.environ.get("OPENAI_API_KEY") or "none", base_url=os.environ.get("OPENAI_BASE_URL") or None,
        timeout=config.OPENAI_TIMEOUT_SECONDS, max_retries=0,
    )  # fmt: skip
    with client:
        for _ in range(2):
            try:
                reply, tokens = _call(client, model, talk)
            except openai.OpenAIError as error:
                return result | {"error": f"{type(error).__name__}: {for_log(str(error), 200)}"}
            result |= {"tokens": int(str(result["tokens"])) + tokens, "calls": int(str(result["calls"])) + 1}
            try:
                diagnosis = _confident(parse(reply))
            except Unreadable as why:
                result["error"] = str(why)
                talk += [
                    {"role": "assistant", "content": reply[:4_000]},
                    {
                        "role": "user",
                        "content": f"That cannot be used: {why}. Answer again in the form that was asked for.",
                    },
                ]
                continue
            return result | {"error": "", "diagnosis": to_json(diagnosis)}
    return result


def _call(client: openai.OpenAI, model: str, talk: list[dict[str, str]]) -> tuple[str, int]:
    conversation: list[ChatCompletionMessageParam] = [
        {"role": "system", "content": turn["content"]}
        if turn["role"] == "system"
        else {"role": "assistant", "content": turn["content"]}
        if turn["role"] == "assistant"
        else {"role": "user", "content": turn["content"]}
        for turn in talk
    ]
    answer = client.chat.completions.create(model=model, messages=conversation)
    text = answer.choices[0].message.content if answer.choices else None
    return text or "", answer.usage.total_tokens if answer.usage else 0


def _confident(diagnosis: Diagnosis) -> Diagnosis:
    if diagnosis.fix_type is FixType.CODE_FIX and diagnosis.confidence < config.CODE_FIX_MIN_CONFIDENCE:
        raise Unreadable(f"a code_fix needs a confidence of at least {config.CODE_FIX_MIN_CONFIDENCE:g}")
    return diagnosis


def to_json(diagnosis: Diagnosis) -> dict[str, Json]:
    """The diagnosis for the answer file; `from_json` is its inverse."""
    return {
        "root_cause": diagnosis.root_cause,
        "fix_type": diagnosis.fix_type.value,
        "confidence": diagnosis.confidence,
        "description": diagnosis.description,
        "config_changes": {**diagnosis.config_changes},
        "code": diagnosis.code,
        "disk": diagnosis.disk,
    }


if __name__ == "__main__":
    sys.exit(main())
