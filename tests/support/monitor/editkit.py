"""The worker's functions, and edits of them in the three formats."""

import ast
import difflib
from pathlib import Path

from auto_monitor.fix_applier import Workshop
from tests.support.environment import PROJECT

SCRIPT = PROJECT / "bulk_migrate_calibre.py"
SOURCE = SCRIPT.read_text("utf-8")


def functions(source: str = SOURCE) -> dict[str, str]:
    """Every function by name, with its decorators, as it stands in the script."""
    lines = source.split("\n")
    found = {}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            first = min(
                [node.lineno, *(decorator.lineno for decorator in node.decorator_list)]
            )
            found[node.name] = "\n".join(lines[first - 1 : node.end_lineno])
    return found


def fenced(text: str, kind: str = "python") -> str:
    """In a fence."""
    return f"```{kind}\n{text}\n```\n"


def as_function(new: str) -> str:
    """The whole function."""
    return fenced(new)


def as_strings(old: str, new: str) -> str:
    """old_string, new_string."""
    return fenced(f"old_string:\n{old}\nnew_string:\n{new}")


def as_diff(before: str, after: str, context: int = 3) -> str:
    """A unified diff with wrong line numbers."""
    name = "bulk_migrate_calibre.py"
    lines = difflib.unified_diff(
        before.split("\n"), after.split("\n"), name, name, n=context, lineterm=""
    )
    return fenced(
        "\n".join(
            line.replace("@@ -", "@@ -9") if line.startswith("@@") else line
            for line in lines
        ),
        "diff",
    )


def workshop(tmp_path: Path) -> Workshop:
    """A copy of the script, and where its fixes are made."""
    script = tmp_path / "bulk_migrate_calibre.py"
    script.write_bytes(SCRIPT.read_bytes())
    return Workshop(script, PROJECT, tmp_path / "state", 120)
