"""How many tokens a question to the LLM has, by part.

`python -m benchmarks.faults.question`: a worker that hangs in an upload, and one that
crashed, each with 500 log lines and an earlier code fix. The figures are estimates: a
quarter of the characters. Where OPENAI_API_KEY or OPENAI_BASE_URL is set, the model
OPENAI_MODEL is asked, and what it counts is printed too.
"""

import os
import sys
from datetime import UTC, datetime

import openai
from openai.types.chat import ChatCompletionUserMessageParam

from auto_monitor import config
from auto_monitor.decide.diagnosis import Facts, Tried, messages
from auto_monitor.decide.question import (
    CHARACTERS_PER_TOKEN,
    Surroundings,
    evidence,
    tokens,
)
from common.settings.load import load, sources
from common.settings.monitor import Llm

SCRIPT = config.PROJECT / "bulk_migrate_calibre.py"
IDLE = """\
  File "/usr/lib/python3.11/threading.py", line 324 in wait
  File "/x/migration/worker/threads/work_queue.py", line 121 in get
  File "/x/migration/worker/threads/uploader_pool.py", line 140 in _work
"""
HUNG = """\
  File "/usr/lib/python3.11/socket.py", line 706 in readinto
  File "/x/.venv/lib/python3.11/site-packages/urllib3/connectionpool.py", line 789 in urlopen
  File "/x/migration/server/http/transport.py", line 88 in send
  File "/x/bulk_migrate_calibre.py", line 712 in upload_file
  File "/x/bulk_migrate_calibre.py", line 640 in process_file
"""


def main() -> int:
    """Prints a table for each of two kinds of trouble."""
    lines = [
        f"INFO Uploaded {n}/EPUB 'The Garden Clock {n}' ({n * 977} bytes, 0.3 s)"
        if n % 5
        else f"WARNING Book {n}: HTTP 500 for POST /api/ebooks: no answer in {n} s"
        for n in range(500)
    ]
    around = Surroundings(lines, None, SCRIPT.read_text("utf-8"), SCRIPT.name, 90.0)
    diff = "\n".join(f"-        old line {n}\n+        new line {n}" for n in range(10))
    fix = Tried(
        "code_fix", "7/EPUB is not settled; it hung in identify", diff, "passed"
    )
    stack = f"Thread a (most recent call first):\n{HUNG}" + "".join(
        f"Thread {n} (most recent call first):\n{IDLE}" for n in range(3)
    )
    hangs = Facts(1, "no progress", 5.0, "migrating", "file 7/EPUB", stack, 12.0, [fix])
    crashed = Facts(
        1, "it ended with 70", 0.0, "migrating", "file 7/EPUB", "", 12.0, [fix],
        error="KeyError: 'language_id'", crash=HUNG,
    )  # fmt: skip
    for name, facts in (("it hangs", hangs), ("it crashed", crashed)):
        _print(name, facts, around)
    return 0


def _print(name: str, facts: Facts, around: Surroundings) -> None:
    shown = evidence(facts, around, datetime.now(tz=UTC), frozenset())
    talk = messages(shown)
    whole = sum(len(turn["content"]) for turn in talk) // CHARACTERS_PER_TOKEN
    parts = {part: tokens({part: value}) for part, value in shown.items()}
    print(f"| {name} | tokens (characters / {CHARACTERS_PER_TOKEN}) |\n| --- | --- |")
    for part, count in sorted(parts.items(), key=lambda pair: -pair[1])[:6]:
        print(f"| {part} | {count} |")
    print(f"| **the question, instructions included** | **{whole}** |")
    given = load(Llm, sources(config.PROJECT, os.environ))
    if given.openai_api_key or given.openai_base_url:
        print(f"| counted by {given.openai_model} | {_counted(given, talk)} |")
    print()


def _counted(given: Llm, talk: list[dict[str, str]]) -> int:
    client = openai.OpenAI(
        api_key=given.openai_api_key or "none",
        base_url=given.openai_base_url or None,
        timeout=config.OPENAI_TIMEOUT_SECONDS,
        max_retries=0,
    )
    said: list[ChatCompletionUserMessageParam] = [
        {"role": "user", "content": turn["content"]} for turn in talk
    ]
    with client:
        answer = client.chat.completions.create(
            model=given.openai_model, messages=said, max_tokens=1
        )
    return answer.usage.prompt_tokens if answer.usage else 0


if __name__ == "__main__":
    sys.exit(main())
