"""Rules of the house that import-linter cannot say."""

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

from tests.support.environment import PROJECT

MAKERS = {
    "Receipt": {
        "migration/server/client.py",
        "migration/server/direct/reading.py",
        "migration/server/importing.py",
    },
    "RemoteMatch": {"migration/server/client.py", "migration/server/postgresql.py"},
    "Known": {"migration/ledger/parts/hashes.py"},
    "Evidence": {"migration/evidence.py"},
    "Intended": {"migration/ledger/parts/books.py"},
}
LONGEST_FUNCTION, LONGEST_MODULE = 50, 500
#: Modules of ours that one module imports; more for those that put a program together.
MOST_IMPORTS, MOST_IMPORTS_OF_ROOTS = 12, 20
ROOTS = {
    "auto_monitor/assembly.py",
    "auto_monitor/monitor.py",
    "auto_monitor/rounds/assembly.py",
    "bookshelf/__main__.py",
    "bookshelf/server.py",
    "bulk_migrate_calibre.py",
    "dashboard/__main__.py",
    "deploy/launch.py",
    "migration/confinement/launch.py",
    "migration/worker/assembly.py",
}
#: Packages whose modules keep to that, and the script.
NARROW = (
    "auto_monitor",
    "bookshelf",
    "bulk_migrate_calibre.py",
    "common",
    "dashboard",
    "demo",
    "deploy",
    "benchmarks",
    "migration",
)


def sources() -> Iterator[Path]:
    """The program, without tests and benchmarks."""
    yield PROJECT / "bulk_migrate_calibre.py"
    yield PROJECT / "settings.py"
    for package in (
        "common",
        "migration",
        "bookshelf",
        "auto_monitor",
        "dashboard",
        "deploy",
        "demo",
    ):
        yield from sorted((PROJECT / package).rglob("*.py"))


@cache
def tree(path: Path) -> ast.Module:
    """A file of the program, parsed once for all tests."""
    return ast.parse(path.read_text("utf-8"))


@cache
def nodes(path: Path) -> tuple[ast.AST, ...]:
    """Everything in a file of the program, walked once for all tests."""
    return tuple(ast.walk(tree(path)))


def name(path: Path) -> str:
    """The path below the project."""
    return str(path.relative_to(PROJECT))


@pytest.mark.parametrize("proof", sorted(MAKERS))
def test_only_its_maker_makes_a_proof(proof: str) -> None:
    """`Receipt(…)` and its like are called nowhere else, under whatever module's name:
    no fix can claim a success, a failure, or that a request is on record."""
    found = {
        name(path)
        for path in sources()
        for node in nodes(path)
        if isinstance(node, ast.Call)
        and proof in (getattr(node.func, "id", ""), getattr(node.func, "attr", ""))
    }
    assert found == MAKERS[proof]


def test_the_worker_knows_no_server_and_no_monitor() -> None:
    """The script imports the substrate and the settings, nothing else of ours."""
    script = tree(PROJECT / "bulk_migrate_calibre.py")
    found = list(ast.walk(script))
    modules = {node.module or "" for node in found if isinstance(node, ast.ImportFrom)}
    for node in found:
        if isinstance(node, ast.Import):
            modules |= {alias.name for alias in node.names}
    modules = {module.split(".")[0] for module in modules}
    assert modules & {"bookshelf", "auto_monitor", "deploy", "demo", "tests"} == set()


@pytest.mark.parametrize("shared", ["settings.py", "common/sd_notify.py"])
def test_what_all_share_knows_nobody(shared: str) -> None:
    """The files beside the packages import nothing of the project."""
    text = (PROJECT / shared).read_text("utf-8")
    ours = {path.stem for path in PROJECT.glob("*.py")} | {
        path.parent.name for path in PROJECT.glob("*/__init__.py")
    }
    imported = {
        line.split()[1].split(".")[0]
        for line in text.splitlines()
        if line.startswith(("import ", "from "))
    }
    assert imported & ours == set()


@pytest.mark.parametrize("path", list(sources()), ids=name)
def test_functions_fit_a_screen_and_modules_a_head(path: Path) -> None:
    """Long ones hold more than one idea."""
    text = path.read_text("utf-8")
    long = [
        f"{node.name} ({node.end_lineno - node.lineno + 1})"
        for node in nodes(path)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno + 1 > LONGEST_FUNCTION
    ]
    assert long == []
    # The patchable script is one file by design; so are the demo's texts.
    if path.name not in ("bulk_migrate_calibre.py", "books.py"):
        assert text.count("\n") <= LONGEST_MODULE


def test_lines_are_short() -> None:
    """At most one in twenty is longer than 88 columns: strings and links that read
    better whole."""
    lines = [
        line for path in sources() for line in path.read_text("utf-8").splitlines()
    ]
    assert sum(len(line) > 88 for line in lines) <= len(lines) / 20


def ours(path: Path) -> set[str]:
    """The modules of the project that a file imports."""
    found: set[str] = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            whole = {f"{node.module}.{alias.name}" for alias in node.names}
            modules = {one for one in whole if is_module(one)}
            found |= modules | ({node.module} if modules != whole else set())
    return {one for one in found if is_module(one)}


def is_module(dotted: str) -> bool:
    """Is there a file, or a package, of that name in the project?"""
    path = PROJECT.joinpath(*dotted.split("."))
    return path.with_suffix(".py").is_file() or (path / "__init__.py").is_file()


@pytest.mark.parametrize("package", NARROW)
def test_a_module_knows_few_others(package: str) -> None:
    """Whoever changes it has so many to think of."""
    place = PROJECT / package
    many = {
        name(path): count
        for path in ([place] if place.is_file() else sorted(place.rglob("*.py")))
        if (count := len(ours(path)))
        > (MOST_IMPORTS_OF_ROOTS if name(path) in ROOTS else MOST_IMPORTS)
    }
    assert many == {}
