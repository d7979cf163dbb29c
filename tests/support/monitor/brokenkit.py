"""Worker scripts with a fault, and the answers of an LLM that mends them."""

from pathlib import Path

from tests.support.environment import PROJECT
from tests.support.monitor.editkit import as_diff, as_function, as_strings, functions
from tests.support.monitor.llmkit import Reply, ScriptedLlm, decision
from tests.support.monitor.watchkit import Watch

KEY = "sk-test-0123456789abcdef"
SHIPPED = (PROJECT / "bulk_migrate_calibre.py").read_text("utf-8")


class Broken(Watch):
    """A worker script with a fault, and an LLM that knows an answer."""

    llm: ScriptedLlm
    script: Path
    before: bytes

    def fault(self, function: str, line: str) -> None:
        """Puts a line first into a function of the script."""
        old = functions()[function]
        place = old.index('"""', old.index('"""') + 3) + 3
        self.use(SHIPPED.replace(old, f"{old[:place]}\n        {line}{old[place:]}"))

    def use(self, text: str) -> None:
        """The script from now on."""
        self.script = self.state / "bulk_migrate_calibre.py"
        self.script.write_text(text, "utf-8")
        self.before = self.script.read_bytes()
        self.more |= {
            "WORKER_SCRIPT": str(self.script),
            "FAULT_MARKER": "1",
            "GATE_SECONDS": "60",
        }

    def answers(self, *replies: Reply) -> None:
        """What the LLM will say."""
        self.llm = ScriptedLlm(*replies)
        self.more |= {
            "OPENAI_BASE_URL": self.llm.url,
            "OPENAI_API_KEY": KEY,
            "OPENAI_MODEL": "scripted",
        }

    def code_entries(self) -> list[dict[str, object]]:
        """The attempts that were code fixes."""
        return [entry for entry in self.history() if entry["fix_type"] == "code_fix"]


def right_answer(function: str, fmt: int, text: str) -> str:
    """The shipped function again, in one of the three formats."""
    good, bad = functions()[function], functions(text)[function]
    code = [as_function(good), as_strings(bad, good), as_diff(text, SHIPPED)][fmt]
    return decision("code_fix", root_cause=f"{function} never comes back") + code
