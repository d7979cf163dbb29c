"""The debugger end to end: a worker that hangs, a server that speaks the OpenAI API
with scripted answers."""

import json
import os
import re
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from auto_monitor.observe.disk import devices_behind
from migration.state_files import progress
from tests.support.environment import PASSWORD, end
from tests.support.libraries.librarykit import epubs
from tests.support.migration.workerkit import wait_for
from tests.support.monitor.llmkit import Reply, ScriptedLlm, decision
from tests.support.monitor.watchkit import BOOKS, IOSTAT, Watch
from tests.support.servers.shelf import Shelf

pytestmark = pytest.mark.integration
KEY = "sk-test-0123456789abcdef"
HANG = "__import__('time').sleep(10**6)"
CODE = "```python\n    def next_range(self):\n        return None\n```\n"


@pytest.fixture
def watch(tmp_path: Path, shelves: Callable[..., Shelf]) -> Iterator[Watch]:
    """A pass that is open, workers that hang once."""
    made = Watch(tmp_path, shelves(tmp_path / "shelf", "--delay-ms", "20"))
    made.open_pass()
    made.patched("next_range", HANG)
    yield made
    for process in made.running:
        end(process)


@pytest.fixture
def llm(watch: Watch) -> Iterator[Callable[..., ScriptedLlm]]:
    """A server with these replies, which the monitor is told of."""
    started: list[ScriptedLlm] = []

    def start(*replies: Reply) -> ScriptedLlm:
        started.append(ScriptedLlm(*replies))
        watch.more |= {
            "OPENAI_BASE_URL": started[-1].url,
            "OPENAI_API_KEY": KEY,
            "OPENAI_MODEL": "scripted",
        }
        return started[-1]

    yield start
    for server in started:
        server.stop()


def test_a_restart_with_a_diagnosis(
    watch: Watch, llm: Callable[..., ScriptedLlm]
) -> None:
    """Root cause, confidence, model and tokens in the history and in monitor.log; no
    secret anywhere."""
    server = llm(decision("restart", root_cause="next_range sleeps"))
    watch.run("--workers", "1", "--llm-enabled")
    (entry,) = watch.history()
    told = {
        key: entry[key]
        for key in (
            "root_cause",
            "fix_type",
            "confidence",
            "llm_used",
            "model",
            "tokens",
            "calls",
            "verified",
        )
    }
    assert told == {
        "root_cause": "next_range sleeps",
        "fix_type": "restart",
        "confidence": 0.9,
        "llm_used": True,
        "model": "scripted",
        "tokens": 100,
        "calls": 1,
        "verified": True,
    }
    assert (
        "the LLM says: next_range sleeps; fix: restart (confidence 0.90)"
        in (watch.state / "monitor.log").read_text()
    )
    (request,) = server.asked
    assert (request["path"], request["auth"], request["model"]) == (
        "/v1/chat/completions",
        f"Bearer {KEY}",
        "scripted",
    )
    said = str(request["messages"][1]["content"])  # type: ignore[index]
    evidence = json.loads(
        said.partition("\nEVIDENCE ")[2].split("\n", 1)[1].rsplit("\n", 1)[0]
    )
    assert any(
        "in next_range" in line
        for stack in evidence["stacks"]
        for line in stack["innermost_first"]
    )
    assert re.search(r"\n *\d+\|    def next_range\(", said)
    assert "next_range" in evidence["may_be_changed"]
    assert evidence["phase"] in ("initializing", "discovering")
    everything = json.dumps(request["messages"])
    for path in watch.state.rglob("*"):
        if path.is_file() and path.suffix in (".json", ".log", ".question", ".out"):
            everything += path.read_text("utf-8", "replace")
    assert KEY not in everything
    assert PASSWORD not in everything
    watch.all_arrived_once()


def test_settings_reach_the_worker_and_stay(
    watch: Watch, llm: Callable[..., ScriptedLlm]
) -> None:
    """Both of them, really passed on, also after a further death."""
    llm(
        decision("config_fix", config_changes={"parallel_uploads": 1, "batch_size": 10})
    )
    watch.more["COOLDOWN_SECONDS"] = "0"
    process = watch.start("--workers", "1", "--llm-enabled")
    path = progress.progress_path(watch.state, 1)

    def settings() -> tuple[int, int]:
        seen = progress.read(path)
        return (seen.parallel_uploads, seen.batch_size) if seen else (0, 0)

    wait_for(lambda: settings() == (1, 10))
    wait_for(lambda: any(entry["verified"] for entry in watch.history()))
    seen = progress.read(path)
    assert seen is not None
    first = seen.pid
    if psutil.pid_exists(first):
        psutil.Process(first).kill()
        wait_for(
            lambda: (again := progress.read(path)) is not None and again.pid != first
        )
        assert settings() == (1, 10)
    _out, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    assert watch.history()[0]["config_changes"] == {
        "parallel_uploads": 1,
        "batch_size": 10,
    }
    assert watch.history()[0]["fix_type"] == "config_fix"
    watch.all_arrived_once()


def test_code_is_proposed_and_never_run(
    watch: Watch, llm: Callable[..., ScriptedLlm]
) -> None:
    """It does not pass the gate, which runs once for the same change: the worker is
    restarted as it is; the script's bytes do not change."""
    server = llm(decision("code_fix") + CODE)
    watch.more["GATE_SECONDS"] = "60"
    script = Path(watch.more["WORKER_SCRIPT"])
    before = script.read_bytes()
    watch.run("--workers", "1", "--llm-enabled")
    (entry,) = watch.history()
    assert script.read_bytes() == before
    assert (entry["fix_type"], entry["verified"]) == ("restart", True)
    assert "did not pass the gate: the demo library: " in str(entry["validation"])
    assert "the same change again" in str(entry["validation"])
    assert len(server.asked) == 3
    candidates = watch.state / "auto_monitor" / "candidates"
    assert len(list(candidates.iterdir())) == 1
    assert "def next_range" in entry["code_changes"]["full"]  # type: ignore[index]
    name = str(entry["validation"]).rpartition("/")[2]
    assert (
        "return None"
        in json.loads((watch.state / "auto_monitor" / "proposals" / name).read_bytes())[
            "code"
        ]
    )
    watch.all_arrived_once()


FAILURES: list[tuple[tuple[Reply, ...], int, str]] = [
    (("no idea", "still none"), 2, "no JSON object"),
    (("nonsense first", decision("restart")), 2, ""),
    ((decision("code_fix", confidence=0.2) + CODE, decision("restart")), 2, ""),
    ((429,), 1, "RateLimitError"),
    ((500,), 1, "InternalServerError"),
    ((401,), 1, "AuthenticationError"),
    ((30.0,), 1, "APITimeoutError"),
]


@pytest.mark.parametrize(
    ("replies", "calls", "failure"), FAILURES, ids=range(len(FAILURES))
)
def test_whatever_the_llm_does_the_worker_is_restarted(
    watch: Watch,
    llm: Callable[..., ScriptedLlm],
    replies: tuple[Reply, ...],
    calls: int,
    failure: str,
) -> None:
    """Nonsense is asked about once more; every failure falls back to a restart."""
    watch.more["OPENAI_TIMEOUT_SECONDS"] = "1"
    server = llm(*replies)
    watch.run("--workers", "1", "--llm-enabled")
    (entry,) = watch.history()
    assert (entry["fix_type"], entry["verified"], entry["llm_used"]) == (
        "restart",
        True,
        True,
    )
    assert failure in str(entry["validation"])
    assert len(server.asked) == calls
    watch.all_arrived_once()


def test_the_budget_is_kept(watch: Watch, llm: Callable[..., ScriptedLlm]) -> None:
    """No call is left: restarted without a diagnosis, and the reason is said."""
    server = llm(decision("restart"))
    watch.more["LLM_CALLS_PER_HOUR"] = "0"
    watch.run("--workers", "1", "--llm-enabled")
    (entry,) = watch.history()
    assert "LLM_CALLS_PER_HOUR allows 0" in str(entry["validation"])
    assert server.asked == []


def test_nobody_listens(watch: Watch) -> None:
    """No network: a restart."""
    watch.more |= {"OPENAI_BASE_URL": "http://127.0.0.1:9/v1", "OPENAI_API_KEY": KEY}
    watch.run("--workers", "1", "--llm-enabled")
    (entry,) = watch.history()
    assert "APIConnectionError" in str(entry["validation"])
    watch.all_arrived_once()


@pytest.mark.parametrize(
    ("disk", "stopped"),
    [
        pytest.param(True, True, id="confirms"),
        pytest.param(None, True, id="does not know", marks=pytest.mark.slow),
        pytest.param(False, False, id="denies", marks=pytest.mark.slow),
    ],
)
def test_the_scaling_question(
    tmp_path: Path, shelves: Callable[..., Shelf], disk: bool | None, stopped: bool
) -> None:
    """A saturated disk and a stuck worker: the LLM is asked before one is taken
    away."""
    if not devices_behind(tmp_path):
        pytest.skip("no disk can be found behind the folder for temporary files")
    watch = Watch(tmp_path, shelves(tmp_path / "shelf", "--delay-ms", "40"))
    watch.library.add(*epubs(range(BOOKS, 400)))
    watch.open_pass()
    server = ScriptedLlm(decision("restart", disk_io_root_cause=disk))
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "iostat").write_text(IOSTAT)
    (programs / "iostat").chmod(0o755)
    (tmp_path / "util").write_text("97")
    watch.more |= {
        "PATH": f"{programs}:{os.environ['PATH']}",
        "UTIL_FILE": str(tmp_path / "util"),
        "SCALE_CHECK_SECONDS": "0.3",
        "OPENAI_BASE_URL": server.url,
        "OPENAI_API_KEY": KEY,
        "COOLDOWN_SECONDS": "600",
    }
    try:
        watch.start("--workers", "3", "--llm-enabled")
        watch.worker(3)
        watch.worker(1).send_signal(signal.SIGSTOP)
        log = watch.state / "monitor.log"
        wait_for(lambda: "is the disk the cause?" in log.read_text())
        wait_for(lambda: bool(watch.history()))
        assert ("Stopping worker 3" in log.read_text()) == stopped
        assert ("says the disk is not the cause" in log.read_text()) == (not stopped)
        assert len(server.asked) == 1
    finally:
        for process in watch.running:
            end(process)
        server.stop()
