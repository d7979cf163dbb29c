"""Do the quick tests notice when a decision is wrong?

`python -m benchmarks.survivors [--number N] [--seed S] [--list]`: N places in modules that
decide are chosen at random and changed one after the other, in a copy of the tree: a
comparison's bound, a negated condition, `and` for `or`, another constant, a dropped
statement, an early return. Tests that import the module run first, then, when they all
pass, the whole of `make test`. A mutant that fails no test has survived and is printed.
"""

import argparse
import ast
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent
SCRIPT = "bulk_migrate_calibre.py"
#: What decides and does nothing else; of the script, the methods that only compute.
DECISIONS = (
    "auto_monitor/decide/*.py",
    "auto_monitor/repair/case.py",
    SCRIPT,
    "common/settings/kinds.py",
    "common/settings/load.py",
    "migration/checks/leftovers.py",
    "migration/evidence.py",
    "migration/metadata/*.py",
    "migration/server/http/responses.py",
    "migration/server/http/shapes.py",
    "migration/worker/failing.py",
    "migration/worker/threads/limits.py",
)
RING = ("tests/unit", "tests/harness", "tests/contract")
#: Seconds after which tests that usually take one count as hanging.
NEAR_SECONDS, RING_SECONDS = 240.0, 1800.0


@dataclass(frozen=True, slots=True)
class Mutant:
    """A part of a file and what stands there instead."""

    path: str
    line: int
    start: int
    end: int
    new: str
    kind: str

    def text(self, source: str) -> str:
        """The file with it. Positions are those of bytes, as in the syntax tree."""
        data = source.encode()
        return (data[: self.start] + self.new.encode() + data[self.end :]).decode()

    def shown(self, source: str) -> str:
        """For people: where, what, and what instead."""
        old = source.encode()[self.start : self.end].decode()
        return (
            f"{self.path}:{self.line} {self.kind}: {_short(old)} -> {_short(self.new)}"
        )


def _short(text: str) -> str:
    return repr(" ".join(text.split())[:70])


# -- where something can be changed ----------------------------------------------------

_COMPARED: dict[type[ast.cmpop], str] = {
    ast.Lt: "<=",
    ast.LtE: "<",
    ast.Gt: ">=",
    ast.GtE: ">",
    ast.Eq: "!=",
    ast.NotEq: "==",
    ast.Is: "is not",
    ast.IsNot: "is",
    ast.In: "not in",
    ast.NotIn: "in",
}
_CALCULATED: dict[type[ast.operator], tuple[str, str]] = {
    ast.Add: ("+", "-"),
    ast.Sub: ("-", "+"),
    ast.Mult: ("*", "+"),
    ast.Div: ("/", "*"),
    ast.BitOr: ("|", "&"),
}
_EXCHANGED = {"min": "max", "max": "min", "any": "all", "all": "any"}


class Finder:
    """All mutants of one file."""

    def __init__(self, path: str, source: str) -> None:
        self._path = path
        self._data = source.encode()
        self._begins = [0]
        for line in self._data.splitlines(keepends=True):
            self._begins.append(self._begins[-1] + len(line))
        self._tree = ast.parse(source)

    def all(self) -> list[Mutant]:
        """In the order of the file, each once."""
        nodes = self._decisive(self._tree, inside=False)
        found = {one for node, inside in nodes for one in self._of(node, inside)}
        return sorted(found, key=lambda one: (one.start, one.end, one.kind, one.new))

    def _decisive(
        self, node: ast.AST, *, inside: bool
    ) -> Iterator[tuple[ast.AST, bool]]:
        """Without what decides nothing: types, decorators, docstrings, f-strings; each
        with whether it is inside a function."""
        for name, value in ast.iter_fields(node):
            if name in ("annotation", "returns", "decorator_list"):
                continue
            for child in value if isinstance(value, list) else [value]:
                if not isinstance(child, ast.AST) or self._is_left_out(child):
                    continue
                within = inside or isinstance(child, ast.FunctionDef)
                yield child, within
                yield from self._decisive(child, inside=within)

    def _is_left_out(self, node: ast.AST) -> bool:
        if isinstance(node, ast.JoinedStr | ast.Import | ast.ImportFrom):
            return True
        acts = isinstance(node, ast.FunctionDef) and _acts(node)
        return _is_words(node) or (acts and self._path == SCRIPT)

    def _of(self, node: ast.AST, inside: bool) -> Iterator[Mutant]:
        match node:
            case ast.Compare():
                yield from self._compared(node)
            case ast.BoolOp():
                yield from self._joined(node)
            case ast.BinOp():
                yield from self._calculated(node)
            case ast.IfExp():
                yield self._put(node.test, f"not ({self._text(node.test)})", "negated")
            case ast.Constant():
                # Texts outside of functions are tables of data: languages, genres.
                if inside or not isinstance(node.value, str):
                    yield from self._constant(node)
            case ast.Call(func=ast.Name(id=name)) if name in _EXCHANGED:
                yield self._put(node.func, _EXCHANGED[name], "exchanged")
            case ast.stmt():
                yield from self._of_statement(node)

    def _of_statement(self, node: ast.stmt) -> Iterator[Mutant]:
        match node:
            case ast.If() | ast.While():
                yield self._put(node.test, f"not ({self._text(node.test)})", "negated")
            case ast.FunctionDef():
                yield from self._returned_early(node)
            case ast.Expr() | ast.AugAssign() | ast.Raise() | ast.Continue():
                yield self._put(node, "pass", "dropped")
            case ast.Return(value=ast.expr() as value):
                if not isinstance(value, ast.Constant):
                    yield self._put(value, "None", "nothing returned")

    def _compared(self, node: ast.Compare) -> Iterator[Mutant]:
        left = node.left
        for operator, right in zip(node.ops, node.comparators, strict=True):
            start, end = self._span(left)[1], self._span(right)[0]
            # Brackets around an operand are between them as well.
            between = self._data[start:end].decode()
            old = between.strip(" \n()")
            new = between.replace(old, _COMPARED[type(operator)], 1)
            yield Mutant(self._path, node.lineno, start, end, new, "compared")
            left = right

    def _joined(self, node: ast.BoolOp) -> Iterator[Mutant]:
        old, new = ("and", "or") if isinstance(node.op, ast.And) else ("or", "and")
        for left, right in zip(node.values, node.values[1:], strict=False):
            start, end = self._span(left)[1], self._span(right)[0]
            text = self._data[start:end].decode().replace(old, new, 1)
            yield Mutant(self._path, node.lineno, start, end, text, "and/or")

    def _calculated(self, node: ast.BinOp) -> Iterator[Mutant]:
        signs = _CALCULATED.get(type(node.op))
        if signs is not None:
            start, end = self._span(node.left)[1], self._span(node.right)[0]
            text = self._data[start:end].decode().replace(signs[0], signs[1], 1)
            yield Mutant(self._path, node.lineno, start, end, text, "calculated")

    def _constant(self, node: ast.Constant) -> Iterator[Mutant]:
        value = node.value
        if isinstance(value, bool):
            yield self._put(node, str(not value), "constant")
        elif isinstance(value, int | float):
            yield self._put(node, repr(value + 1), "constant")
        elif isinstance(value, str) and value:
            yield self._put(node, repr("XX" + value), "constant")

    def _returned_early(self, node: ast.FunctionDef) -> Iterator[Mutant]:
        first = node.body[0] if not _is_words(node.body[0]) else node.body[1:2]
        first = first[0] if isinstance(first, list) and first else first
        if isinstance(first, ast.stmt) and not isinstance(first, ast.Return):
            start, _end = self._span(first)
            yield Mutant(
                self._path, first.lineno, start, start, "return None; ", "early return"
            )

    def _put(self, node: ast.expr | ast.stmt, new: str, kind: str) -> Mutant:
        start, end = self._span(node)
        return Mutant(self._path, node.lineno, start, end, new, kind)

    def _text(self, node: ast.expr) -> str:
        start, end = self._span(node)
        return self._data[start:end].decode()

    def _span(self, node: ast.expr | ast.stmt) -> tuple[int, int]:
        assert node.end_lineno is not None
        assert node.end_col_offset is not None
        return (
            self._begins[node.lineno - 1] + node.col_offset,
            self._begins[node.end_lineno - 1] + node.end_col_offset,
        )


def _is_words(node: ast.AST) -> bool:
    """A docstring."""
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _acts(function: ast.FunctionDef) -> bool:
    """Does it call something for its effect, or change an attribute?"""
    kinds = (ast.With, ast.Try, ast.Delete)
    return any(
        isinstance(node, kinds)
        or (isinstance(node, ast.Expr) and not _is_words(node))
        or (isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store))
        for node in ast.walk(function)
    )


def candidates(tree: Path) -> list[Mutant]:
    """All that are valid Python."""
    found = []
    for pattern in DECISIONS:
        for path in sorted(tree.glob(pattern)):
            source = path.read_text("utf-8")
            for one in Finder(str(path.relative_to(tree)), source).all():
                try:
                    compile(one.text(source), one.path, "exec")
                except (SyntaxError, ValueError):
                    continue
                found.append(one)
    return found


# -- the tests -------------------------------------------------------------------------


class Copy:
    """A copy of the tree, in which one mutant after the other is tried."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        listed = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard", "-z"],
            cwd=PROJECT,
            check=True,
            capture_output=True,
            text=True,
        )
        for name in filter(None, listed.stdout.split("\0")):
            if (PROJECT / name).is_file():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(PROJECT / name, folder / name)
        (folder / ".venv").symlink_to((PROJECT / ".venv").resolve())

    def killed(self, mutant: Mutant, ring: Sequence[str]) -> str:
        """What noticed it; "" when nothing did. `ring` may be empty."""
        path = self.folder / mutant.path
        before = path.read_text("utf-8")
        path.write_text(mutant.text(before), "utf-8")
        try:
            near = self.near(mutant.path)
            if near and not self.passes(near, NEAR_SECONDS, "0"):
                return "tests of the module"
            if ring and not self.passes(ring, RING_SECONDS, "logical"):
                return "the ring"
            return ""
        finally:
            path.write_text(before, "utf-8")

    def near(self, module: str) -> list[str]:
        """Test files that name the module, or else its package."""
        dotted = module.removesuffix(".py").replace("/", ".")
        package, _, name = dotted.rpartition(".")
        files = [
            (str(path.relative_to(self.folder)), path.read_text("utf-8"))
            for ring in RING
            for path in sorted((self.folder / ring).rglob("test_*.py"))
        ]
        words = (f"{dotted} import", f"import {dotted}", f"from {package} import")
        found = [
            path
            for path, text in files
            if any(word in text for word in words[:2])
            or (bool(package) and words[2] in text and name in text)
        ]
        return found or [path for path, text in files if package and package in text]

    def passes(self, tests: Sequence[str], seconds: float, processes: str) -> bool:
        """Do these tests pass, in this time?"""
        command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
        child = subprocess.Popen(
            [*command, "-n", processes, "--dist", "loadgroup", *tests],
            cwd=self.folder,
            # What was compiled before a change must not be taken for it.
            env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            return child.wait(seconds) == 0
        except subprocess.TimeoutExpired:
            os.killpg(child.pid, 9)
            child.wait()
            return False


def main() -> int:
    """Returns how many survived."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.survivors")
    parser.add_argument("--number", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--list", action="store_true", help="choose, and run nothing")
    parser.add_argument("--near", action="store_true", help="leave out the whole ring")
    given = parser.parse_args()
    found = candidates(PROJECT)
    chosen = random.Random(given.seed).sample(found, min(given.number, len(found)))
    print(f"{len(found)} mutants, {len(chosen)} chosen by seed {given.seed}")
    sources = {one.path: (PROJECT / one.path).read_text("utf-8") for one in chosen}
    if given.list:
        print("\n".join(one.shown(sources[one.path]) for one in chosen))
        return 0
    ring = () if given.near else RING
    survived = 0
    with tempfile.TemporaryDirectory() as name:
        copy = Copy(Path(name) / "tree")
        for number, one in enumerate(chosen, 1):
            began = time.monotonic()
            by = copy.killed(one, ring)
            survived += not by
            seconds = time.monotonic() - began
            verdict = f"killed by {by}" if by else "SURVIVED"
            shown = one.shown(sources[one.path])
            print(f"{number:3} {verdict}, {seconds:.0f} s: {shown}", flush=True)
    killed = len(chosen) - survived
    print(f"{killed} of {len(chosen)} killed, {100 * killed / len(chosen):.0f} %")
    return survived


if __name__ == "__main__":
    sys.exit(main())
