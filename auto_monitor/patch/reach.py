"""What a changed function can reach. Pure.

It holds values, which are free, and a few things that are more: the worker and its
collaborators, modules, classes that prove something. Each of these may only stand
where nothing but its own offer can be had from it; `offered` has the tables.
"""

import ast
import builtins
from collections.abc import Callable, Iterator

from auto_monitor.patch import offered as tables
from auto_monitor.patch.kept_uses import Kept
from auto_monitor.patch.reach_attributes import of_attribute
from auto_monitor.patch.reach_names import of_name
from auto_monitor.patch.reach_view import MEANT, View, is_denied
from auto_monitor.patch.scopes import Scope, Script, imports, scope_of
from auto_monitor.patch.source import Function

_LARGEST = 2**63


def objections(script: Script, old: Function, new: Function) -> list[str]:
    """Returns what the new function reaches that it must not, each once."""
    was, scope = scope_of(old, script), scope_of(new, script)
    imported, modules = imports(old)
    view = View(
        script,
        scope,
        Kept(script, (old, was), (new, scope)),
        {**script.modules, **modules},
        {**script.imported, **imported},
        frozenset(_stores(old)),
        new,
    )
    found = [*_hidden_names(view, was)]
    for node in _changed(old, new):
        check = _CHECKS.get(type(node))
        said = check(node, view) if check else ""
        if said and not view.kept.same(node):
            found.append(said)
    return list(dict.fromkeys(found))


def _changed(old: Function, new: Function) -> Iterator[ast.AST]:
    """Yields what is to be looked at: not the decorators, which stay as they are.

    Of the constructor only new lines, for it alone holds what a worker is made from.
    """
    if ast.dump(old.args) != ast.dump(new.args):
        yield from ast.walk(new.args)
    if new.returns is not None:
        yield from ast.walk(new.returns)
    known = set(map(ast.dump, old.body)) if new.name == "__init__" else set()
    for statement in new.body:
        if ast.dump(statement) not in known:
            yield from ast.walk(statement)


def _stores(function: Function) -> Iterator[tuple[str, str]]:
    """Yields the attributes of values that a function sets."""
    for node in ast.walk(function):
        if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
            yield ast.unparse(node.value), node.attr


def _hidden_names(view: View, was: Scope) -> Iterator[str]:
    """Objects to giving another meaning to names that are checked by their meaning."""
    script = view.script
    if "self" in view.scope.rebound:
        yield "self must not be given another meaning"
    for name in sorted(view.scope.local - was.local):
        meant = name in dir(builtins) and name not in tables.MAY_BE_HIDDEN
        ours = {*script.imported, *script.modules, *script.defined}
        if meant or name in ours:
            yield f"{name} must not be given another meaning"
        elif name.startswith("__"):
            yield f"the name {name} is not allowed"


# -- the rest --------------------------------------------------------------------------


def _subscript(node: ast.AST, view: View) -> str:
    assert isinstance(node, ast.Subscript)
    if not isinstance(node.ctx, ast.Load) and view.paths(node.value):
        return f"{ast.unparse(node.value)} must not be changed"
    return ""


def _constant(node: ast.AST, _view: View) -> str:
    assert isinstance(node, ast.Constant)
    large = isinstance(node.value, int | float | complex) and not (
        abs(node.value) <= _LARGEST or node.value == float("inf")
    )
    return "a number that large is not allowed" if large else ""


def _operation(node: ast.AST, _view: View) -> str:
    """Refuses powers and shifts that cannot be computed."""
    assert isinstance(node, ast.BinOp | ast.AugAssign)
    if not isinstance(node.op, ast.Pow | ast.LShift):
        return ""
    left = node.left if isinstance(node, ast.BinOp) else node.target
    right = node.right if isinstance(node, ast.BinOp) else node.value
    if any(
        isinstance(part, ast.BinOp) and isinstance(part.op, ast.Pow | ast.LShift)
        for side in (left, right)
        for part in ast.walk(side)
    ):
        return "a power of a power is not allowed"
    if isinstance(right, ast.Constant):
        small = isinstance(right.value, int | float) and abs(right.value) <= 64
    else:
        small = isinstance(left, ast.Constant) and left.value in (0.5, 1.5, 1, 2, 10)
    return "" if small else "a power that large is not allowed"


def _handler(node: ast.AST, view: View) -> str:
    """Allows catching everything only to raise it again."""
    assert isinstance(node, ast.ExceptHandler)
    caught = (
        node.type.elts
        if isinstance(node.type, ast.Tuple)
        else [node.type or ast.Pass()]
    )
    names = {part.id if isinstance(part, ast.Name) else "" for part in caught}
    if node.type is not None and not names & tables.BROAD:
        return ""
    leaves = any(
        isinstance(part, ast.Return | ast.Continue | ast.Break)
        for part in ast.walk(node)
    )
    if isinstance(node.body[-1], ast.Raise) and not leaves:
        return ""
    same = ast.dump(node) in view.kept.handlers
    return "" if same else "except for every error must end in raise"


def _pattern(node: ast.AST, _view: View) -> str:
    assert isinstance(node, ast.MatchClass)
    wrong = [name for name in node.kwd_attrs if is_denied(name) or name in MEANT]
    return f".{wrong[0]} is not allowed" if wrong else ""


def _nested(node: ast.AST, view: View) -> str:
    assert isinstance(node, ast.FunctionDef)
    if node is view.function:
        return ""
    return "a decorator is not allowed" if node.decorator_list else ""


def _never(node: ast.AST, _view: View) -> str:
    return f"{_WORDS[type(node)]} is not allowed"


_WORDS: dict[type[ast.AST], str] = {
    ast.Import: "import",
    ast.ImportFrom: "import",
    ast.Global: "global",
    ast.ClassDef: "a class",
    ast.AsyncFunctionDef: "async",
    ast.Await: "await",
    ast.AsyncFor: "async",
    ast.AsyncWith: "async",
}

_CHECKS: dict[type[ast.AST], Callable[[ast.AST, View], str]] = {
    ast.Name: of_name,
    ast.Attribute: of_attribute,
    ast.Subscript: _subscript,
    ast.Constant: _constant,
    ast.BinOp: _operation,
    ast.AugAssign: _operation,
    ast.ExceptHandler: _handler,
    ast.MatchClass: _pattern,
    ast.FunctionDef: _nested,
    **dict.fromkeys(_WORDS, _never),
}
