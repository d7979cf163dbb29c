"""Rules of the house that import-linter cannot say."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import PROJECT

MAKERS = {
    "Receipt": {"migration/server/client.py"},
    "Sighting": {"migration/server/client.py", "migration/server/postgresql.py"},
    "Known": {"migration/ledger/ledger.py"},
    "Evidence": {"migration/evidence.py"},
    "Intended": {"migration/ledger/ledger.py"},
}
LONGEST_FUNCTION, LONGEST_MODULE = 50, 500


def sources() -> Iterator[Path]:
    """The program, without tests and benchmarks."""
    yield PROJECT / "bulk_migrate_calibre.py"
    yield PROJECT / "settings.py"
    for package in ("common", "migration", "bookshelf", "auto_monitor", "dashboard", "deploy", "demo"):
        yield from sorted((PROJECT / package).rglob("*.py"))


def name(path: Path) -> str:
    """The path below the project."""
    return str(path.relative_to(PROJECT))


@pytest.mark.parametrize("proof", sorted(MAKERS))
def test_only_its_maker_makes_a_proof(proof: str) -> None:
    """`Receipt(…)` and its like are called nowhere else, under whatever module's name: no fix can claim a success, a
    failure, or that a request is on record.
    """
    found = {
        name(path)
        for path in sources()
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call) and proof in (getattr(node.func, "id", ""), getattr(node.func, "attr", ""))
    }
    assert found == MAKERS[proof]


def test_the_worker_knows_no_server_and_no_monitor() -> None:
    """The script imports the substrate and the settings, nothing else of ours."""
    tree = ast.parse((PROJECT / "bulk_migrate_calibre.py").read_text("utf-8"))
    modules = {node.module.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    modules |= {
        alias.name.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names
    }
    assert modules & {"bookshelf", "auto_monitor", "deploy", "demo", "tests"} == set()


@pytest.mark.parametrize("shared", ["settings.py", "common/sd_notify.py"])
def test_what_all_share_knows_nobody(shared: str) -> None:
    """The files beside the packages import nothing of the project."""
    text = (PROJECT / shared).read_text("utf-8")
    ours = {path.stem for path in PROJECT.glob("*.py")} | {path.parent.name for path in PROJECT.glob("*/__init__.py")}
    imported = {line.split()[1].split(".")[0] for line in text.splitlines() if line.startswith(("import ", "from "))}
    assert imported & ours == set()


@pytest.mark.parametrize("path", list(sources()), ids=name)
def test_functions_fit_a_screen_and_modules_a_head(path: Path) -> None:
    """Long ones hold more than one idea."""
    text = path.read_text("utf-8")
    long = [
        f"{node.name} ({node.end_lineno - node.lineno + 1})"
        for node in ast.walk(ast.parse(text))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > LONGEST_FUNCTION
    ]
    assert long == []
    # The patchable script is one file by design; so are the demo's texts.
    if path.name not in ("bulk_migrate_calibre.py", "books.py"):
        assert text.count("\n") <= LONGEST_MODULE


@pytest.mark.parametrize("path", list(sources()), ids=name)
def test_public_things_have_docstrings(path: Path) -> None:
    """Modules, public classes, public functions and methods."""
    tree = ast.parse(path.read_text("utf-8"))
    bare = [] if ast.get_docstring(tree) else ["the module"]
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            public = not node.name.startswith("_") and node.name not in (
                "handle",
                "run",
                "record",
                "known",
                "work",
                "parse",
            )
            nested = any(
                node in ast.walk(other) and node is not other
                for other in ast.walk(tree)
                if isinstance(other, ast.FunctionDef | ast.AsyncFunctionDef)
            )
            if public and not nested and not ast.get_docstring(node):
                bare.append(node.name)
    assert bare == []
