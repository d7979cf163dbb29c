"""The child process that asks the LLM and makes its code fix.

`python -m auto_monitor.repair.llm_job QUESTION ANSWER SCRIPT`

It is a process of its own because a network call may take minutes, while the monitor
must not wait: it only checks whether the answer is there. The key is in the
environment, never on the command line. The answer file always says how it went. A code
fix that cannot be applied, or does not pass guard or gate, is sent back with the
reason, at most twice.
"""

import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import openai
from openai.types.chat import ChatCompletionMessageParam

from auto_monitor import config
from auto_monitor.decide.diagnosis import (
    ROUNDS,
    Diagnosis,
    FixType,
    UnreadableReply,
    messages,
    parse,
    seconds_of_a_job,
    wrong_books,
)
from auto_monitor.fix_applier import FixRefused, Unavailable, Workshop
from auto_monitor.model import Candidate
from auto_monitor.patch import confinement
from auto_monitor.record import answers
from common.files.json_files import read_json
from common.json_value import Json
from common.sanitize import for_log
from common.settings.load import load, sources
from common.settings.monitor import Llm
from common.settings.shared import Library

#: Calls of one job; unusable answers among them.
CALLS, UNREADABLE = 5, 2

Apply = Callable[[str], Candidate]


def main() -> int:
    """Writes the answer file; returns 0 when it was written, good or bad."""
    # The parent may be gone.
    signal.alarm(int(seconds_of_a_job(config.LLM_JOB_SECONDS, config.GATE_SECONDS)) + 5)
    question, answer, script = (Path(text) for text in sys.argv[1:4])
    evidence = read_json(question)
    if not isinstance(evidence, dict):
        return 2
    state_dir = answer.parent.parent.parent
    library = load(Library, sources(config.PROJECT, os.environ)).library
    wrong = wrong_books(evidence)
    workshop = Workshop(
        script, config.PROJECT, state_dir, config.GATE_SECONDS, library, wrong
    )
    refused = why_not()
    apply = partial(propose_only, refused) if refused else workshop.apply
    answers.once(answer, lambda: ask(evidence, apply))
    return 0


def why_not() -> str:
    """Returns why code fixes are only proposed; "" when they are tried."""
    if not config.ENABLE_CODE_FIXES:
        return "ENABLE_CODE_FIXES is 0"
    return confinement.why_not()


def propose_only(why: str, _reply: str) -> Candidate:
    """Refuses every code fix for this reason."""
    raise Unavailable(why)


def ask(
    evidence: dict[str, Json],
    apply: Apply,
    seconds: float = config.LLM_JOB_SECONDS,
    clock: Callable[[], float] = time.monotonic,
) -> answers.StoredAnswer:
    """Returns the answer to one question.

    What is wrong with a reply is sent in the next call, until the calls are used up, or
    the seconds that they may take together; the gate's time does not count.
    """
    given = load(Llm, sources(config.PROJECT, os.environ))
    result = answers.StoredAnswer(model=given.openai_model)
    talk, unreadable, refused = list(messages(evidence)), 0, 0
    spent = 0.0
    with _client(given) as client:
        for _ in range(CALLS):
            if spent >= seconds:
                said = f"{result.error}; its calls took longer than {seconds:g} s"
                return replace(result, error=said)
            began = clock()
            try:
                reply, tokens = _call(client, result.model, talk)
            except openai.OpenAIError as error:
                said = f"{type(error).__name__}: {for_log(str(error), 200)}"
                return replace(result, error=said)
            spent += clock() - began
            result = replace(
                result, tokens=result.tokens + tokens, calls=result.calls + 1
            )
            try:
                diagnosis = _confident(parse(reply))
                # Kept even when its code is refused, for the history and a proposal.
                result = replace(result, diagnosis=diagnosis)
                return _worked_out(result, diagnosis, apply)
            except UnreadableReply as why:
                unreadable, wrong = unreadable + 1, str(why)
            except FixRefused as why:
                refused, wrong = refused + 1, str(why)
            result = replace(result, error=wrong)
            if unreadable >= UNREADABLE or refused >= ROUNDS:
                break
            talk += [
                {"role": "assistant", "content": reply[:8_000]},
                {"role": "user", "content": _again(wrong)},
            ]
    return result


def _client(given: Llm) -> openai.OpenAI:
    return openai.OpenAI(
        api_key=given.openai_api_key or "none",
        base_url=given.openai_base_url or None,
        timeout=config.OPENAI_TIMEOUT_SECONDS,
        max_retries=0,
    )


def _again(wrong: str) -> str:
    return (
        f"That cannot be used: {wrong[:4_000]}\nAnswer again, all of it, in the "
        "form that was asked for."
    )


def _worked_out(
    result: answers.StoredAnswer, diagnosis: Diagnosis, apply: Apply
) -> answers.StoredAnswer:
    """Returns the answer with the candidate of a code fix. Raises FixRefused."""
    if diagnosis.fix_type is not FixType.CODE_FIX:
        return replace(result, error="")
    try:
        return replace(result, error="", candidate=apply(diagnosis.code))
    except Unavailable as error:
        return replace(result, error=f"proposed only: {error}")


def _call(
    client: openai.OpenAI, model: str, talk: list[dict[str, str]]
) -> tuple[str, int]:
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
    if (
        diagnosis.fix_type is FixType.CODE_FIX
        and diagnosis.confidence < config.CODE_FIX_MIN_CONFIDENCE
    ):
        raise UnreadableReply(
            f"a code_fix needs a confidence of at least {config.CODE_FIX_MIN_CONFIDENCE:g}"
        )
    return diagnosis


if __name__ == "__main__":
    sys.exit(main())
