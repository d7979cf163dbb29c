"""The job that asks the LLM, against a server that answers from a script."""

import json
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from auto_monitor.record import answers
from auto_monitor.record.answers import StoredAnswer
from auto_monitor.repair import llm_job
from tests.support.monitor.editkit import SCRIPT, as_strings
from tests.support.monitor.llmkit import Reply, ScriptedLlm, decision
from tests.support.servers.inprocess import call_main

#: An edit that changes nothing.
NOTHING = as_strings("        return None", "        return None")


@dataclass(frozen=True, slots=True)
class Asked:
    """What a job wrote, and what the LLM was told."""

    answer: dict[str, Any]
    requests: list[dict[str, Any]]

    def last_words(self) -> str:
        """What was said in the last call."""
        return str(self.requests[-1]["messages"][-1]["content"])


@pytest.fixture
def ask(tmp_path: Path) -> Iterator[Callable[..., Asked]]:
    """Runs a job whose LLM gives these replies."""

    def run(*replies: Reply, **environment: str) -> Asked:
        llm = ScriptedLlm(*replies)
        folder = tmp_path / "state" / "auto_monitor" / "answers"
        folder.mkdir(parents=True)
        question, answer = folder / "x.question", folder / "x.json"
        question.write_text('{"verdict": "no progress for 9 min"}')
        told = {"OPENAI_API_KEY": "k", "OPENAI_BASE_URL": llm.url, **environment}
        given = [str(question), str(answer), str(SCRIPT)]
        assert call_main(llm_job.main, given, **told) == (0, "")
        return Asked(json.loads(answer.read_bytes()), llm.asked)

    yield run
    signal.alarm(0)


def test_a_restart_is_written_down(ask: Callable[..., Asked]) -> None:
    """With what it cost; the evidence was sent as data."""
    asked = ask(decision("restart"))
    assert asked.answer == {
        "model": "gpt-4o-mini",
        "tokens": 100,
        "calls": 1,
        "error": "",
        "candidate": None,
        "diagnosis": {
            "root_cause": "it hangs",
            "fix_type": "restart",
            "confidence": 0.9,
            "description": "do it",
            "config_changes": {},
            "code": "",
            "disk": None,
        },
    }
    assert "no progress for 9 min" in asked.last_words()
    assert "not instructions" in asked.last_words()


def test_an_answer_that_cannot_be_read_is_asked_for_once_more(
    ask: Callable[..., Asked],
) -> None:
    """With the reason."""
    asked = ask("no idea", decision("restart"))
    assert (asked.answer["calls"], asked.answer["tokens"]) == (2, 200)
    assert asked.answer["diagnosis"]["fix_type"] == "restart"
    assert "That cannot be used: there is no JSON object" in asked.last_words()


def test_a_second_one_ends_it(ask: Callable[..., Asked]) -> None:
    """There is no diagnosis, and the last reason stays."""
    asked = ask("no idea", decision("explode"), decision("restart"))
    assert (asked.answer["calls"], asked.answer["diagnosis"]) == (2, None)
    assert asked.answer["error"].startswith("fix_type is not one of")


def test_a_code_fix_that_is_refused_is_asked_for_three_times(
    ask: Callable[..., Asked],
) -> None:
    """The diagnosis is kept for a proposal; no candidate comes of it."""
    asked = ask(decision("code_fix") + NOTHING)
    assert (asked.answer["calls"], asked.answer["candidate"]) == (3, None)
    assert asked.answer["diagnosis"]["fix_type"] == "code_fix"
    assert asked.answer["error"] == "the edit changes nothing"


def test_a_code_fix_needs_confidence(ask: Callable[..., Asked]) -> None:
    """One that is a guess is no answer."""
    asked = ask(decision("code_fix", confidence=0.1) + NOTHING)
    assert (asked.answer["calls"], asked.answer["diagnosis"]) == (2, None)
    assert "confidence of at least" in asked.answer["error"]


@pytest.mark.parametrize("status", [401, 429, 500])
def test_a_service_that_refuses_is_named(
    ask: Callable[..., Asked], status: int
) -> None:
    """No call is repeated; the answer says how it went."""
    asked = ask(status)
    assert (asked.answer["calls"], len(asked.requests)) == (0, 1)
    assert asked.answer["error"].partition(":")[0].endswith("Error")


def test_a_question_that_is_none(tmp_path: Path) -> None:
    """Status 2, and nothing is written."""
    (tmp_path / "q").write_text("[]")
    given = [str(tmp_path / "q"), str(tmp_path / "a"), str(SCRIPT)]
    assert call_main(llm_job.main, given)[0] == 2
    signal.alarm(0)
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize(("later", "calls"), [(3600, 0), (-3600, 1)])
def test_one_job_answers_a_question(tmp_path: Path, later: int, calls: int) -> None:
    """What the job of a killed monitor has answered meanwhile is not asked again; an
    older answer is."""
    answer, asked = tmp_path / "x.json", list[int]()
    answers.write(answer, StoredAnswer(model="first"))
    moment = answer.stat().st_mtime + later
    os.utime(answer, (moment, moment))

    def ask() -> StoredAnswer:
        asked.append(1)
        return StoredAnswer(model="second")

    answers.once(answer, ask)
    found = answers.read(answer)
    assert found is not None
    assert (len(asked), found.model) == (calls, "second" if calls else "first")
