"""What the names of a function stand for. Pure.

Flow is not followed: a name that once stands for a collaborator is one everywhere in
the function, which is the safe side.
"""

import ast
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from auto_monitor.patch.offered import (
    COLLABORATORS,
    MUTATORS,
    OPTIONS,
    OURS,
    READ_ONLY,
)
from auto_monitor.patch.source import Function

Path = tuple[str, ...]
Trailer = ast.Attribute | ast.Call | ast.Subscript


@dataclass(frozen=True, slots=True)
class Script:
    """The script's own names, and what its worker holds.

    `imported` has the place each imported name comes from; `modules` the modules among
    them. `held` are the collaborators, `used` the paths below those that no table
    names. `trees` are the whole script before and after.
    """

    imported: Mapping[str, str]
    modules: Mapping[str, str]
    defined: frozenset[str]
    methods: frozenset[str]
    held: frozenset[str]
    used: frozenset[Path]
    trees: tuple[ast.Module, ast.Module]

    @property
    def writes(self) -> tuple[Mapping[str, frozenset[str]], ...]:
        """How each attribute of the worker is set, before and after."""
        return tuple(map(_writes, self.trees))


@dataclass(frozen=True, slots=True)
class Scope:
    """One function: the node above each node, its own names, what they stand for."""

    above: Mapping[ast.AST, ast.AST]
    local: frozenset[str]
    aliases: Mapping[str, frozenset[Path]]
    bindings: Mapping[str, frozenset[str]]
    rebound: frozenset[str]


def script_of(old: ast.Module, new: ast.Module) -> Script:
    """Returns what the script holds; imports and names are those before the change."""
    return replace(_script(old), trees=(old, new))


@lru_cache(maxsize=2)
def _script(old: ast.Module) -> Script:
    imported, modules = imports(old)
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)
    classes = [node for node in old.body if isinstance(node, ast.ClassDef)]
    methods = [inner for node in classes for inner in node.body]
    held = _held(old)
    return Script(
        imported,
        modules,
        frozenset(
            [node.name for node in old.body if isinstance(node, kinds)]
            + [
                part.id
                for node in old.body
                if isinstance(node, ast.Assign | ast.AnnAssign)
                for part in ast.walk(node)
                if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store)
            ]
        ),
        frozenset(inner.name for inner in methods if isinstance(inner, kinds)),
        held,
        frozenset(
            path
            for node in ast.walk(old)
            if isinstance(node, ast.Attribute)
            for path in [path_of(node)]
            if path and path[0] in held
        ),
        (old, old),
    )


def imports(tree: ast.AST) -> tuple[dict[str, str], dict[str, str]]:
    """Returns the place of each imported name, and of the modules among them."""
    imported, modules = {}, {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                name = alias.asname or alias.name.partition(".")[0]
                modules[name] = alias.name if alias.asname else name
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                place = f"{node.module}.{alias.name}"
                if place in OURS:
                    modules[alias.asname or alias.name] = OURS[place]
                else:
                    imported[alias.asname or alias.name] = place
        elif isinstance(node, ast.Assign) and isinstance(node.value, ast.Call):
            place = _dynamic(node.value)
            for target in node.targets:
                if place and isinstance(target, ast.Name):
                    modules[target.id] = place
    return imported, modules


def _dynamic(call: ast.Call) -> str:
    """Returns the module that a call imports, "" for any other call."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else ""
    name = call.func.id if isinstance(call.func, ast.Name) else name
    given = call.args[0] if call.args else None
    found = given.value if isinstance(given, ast.Constant) else "?"
    return str(found) if name in ("__import__", "import_module") else ""


def _held(tree: ast.Module) -> frozenset[str]:
    """Returns the attributes of `self` that are collaborators.

    Those of the table, and whatever else the constructor takes from its parts.
    """
    found = {*COLLABORATORS, OPTIONS}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            for part in ast.walk(node):
                if isinstance(part, ast.Assign | ast.AnnAssign) and part.value:
                    whole = path_of(part.value, {"parts", "opened"})
                    targets = (
                        part.targets if isinstance(part, ast.Assign) else [part.target]
                    )
                    found |= {
                        target.attr
                        for target in targets
                        if whole and isinstance(target, ast.Attribute)
                    }
    # Both are values: a function, and a clock that can only be read.
    return frozenset(found - {"publish", "clock"})


def path_of(
    node: ast.AST, roots: frozenset[str] | set[str] = frozenset({"self"})
) -> Path:
    """Returns the attributes from a root name on; () when it is something else."""
    found: list[str] = []
    while isinstance(node, ast.Attribute):
        found.append(node.attr)
        node = node.value
    if isinstance(node, ast.Name) and node.id in roots:
        return tuple(reversed(found))
    return ()


@lru_cache(maxsize=4)
def _writes(tree: ast.AST) -> dict[str, frozenset[str]]:
    """Returns how each attribute of the worker is set or changed."""
    found: dict[str, set[str]] = {}
    above = parents(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_self(node.value):
            said = _change(node, above)
            if said:
                found.setdefault(node.attr, set()).add(said)
    return {name: frozenset(how) for name, how in found.items()}


def parents(tree: ast.AST) -> dict[ast.AST, ast.AST]:
    """Returns the node above each node."""
    return {
        child: node for node in ast.walk(tree) for child in ast.iter_child_nodes(node)
    }


def is_self(node: ast.AST) -> bool:
    """Whether it is the worker."""
    return isinstance(node, ast.Name) and node.id == "self"


def scope_of(function: Function, script: Script) -> Scope:
    """Returns what the names of a function stand for."""
    above = parents(function)
    bound = Counter(_bound(function))
    own = {part.arg for part in ast.walk(function.args) if isinstance(part, ast.arg)}
    rebound = frozenset(name for name in bound if bound[name] > (name in own))
    local = frozenset(bound) - {"self"}
    aliases: dict[str, frozenset[Path]] = {}
    while True:
        found: dict[str, set[Path]] = {}
        for node in ast.walk(function):
            target, value = _assignment(node)
            if isinstance(target, ast.Name) and value is not None:
                paths = collaborators(value, aliases, script)
                if paths:
                    found.setdefault(target.id, set()).update(paths)
        fresh = {name: frozenset(paths) for name, paths in found.items()}
        if fresh == aliases:
            return Scope(above, local, aliases, _bindings(function, above), rebound)
        aliases = fresh


def _assignment(node: ast.AST) -> tuple[ast.expr | None, ast.expr | None]:
    if isinstance(node, ast.Assign) and len(node.targets) == 1:
        return node.targets[0], node.value
    if isinstance(node, ast.AnnAssign | ast.NamedExpr):
        return node.target, node.value
    return None, None


def collaborators(
    node: ast.AST, aliases: Mapping[str, frozenset[Path]], script: Script
) -> frozenset[Path]:
    """Returns which collaborators an expression may stand for."""
    if isinstance(node, ast.NamedExpr):
        return collaborators(node.value, aliases, script)
    if isinstance(node, ast.Name):
        return aliases.get(node.id, frozenset())
    if not isinstance(node, ast.Attribute):
        return frozenset()
    if is_self(node.value):
        return frozenset({(node.attr,)} if node.attr in script.held else ())
    below = {(*path, node.attr) for path in collaborators(node.value, aliases, script)}
    return frozenset(path for path in below if offered(path) or path in READ_ONLY)


def offered(path: Path) -> Mapping[str, object] | None:
    """Returns what the table offers there; None when it names no such thing."""
    here: object = COLLABORATORS
    for name in path:
        if not isinstance(here, Mapping) or name not in here:
            return None
        here = here[name]
    return here if isinstance(here, Mapping) else None


# -- how names are bound ---------------------------------------------------------------


def _bound(function: Function) -> Iterator[str]:
    for node in ast.walk(function):
        if isinstance(node, ast.Name) and not isinstance(node.ctx, ast.Load):
            yield node.id
        elif isinstance(node, ast.arg):
            yield node.arg
        elif isinstance(node, ast.ExceptHandler | ast.MatchAs | ast.MatchStar):
            if node.name:
                yield node.name
        elif isinstance(node, ast.MatchMapping):
            if node.rest:
                yield node.rest
        elif isinstance(node, ast.FunctionDef) and node is not function:
            yield node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from (
                alias.asname or alias.name.partition(".")[0] for alias in node.names
            )


def _bindings(
    function: Function, above: Mapping[ast.AST, ast.AST]
) -> dict[str, frozenset[str]]:
    """Returns, for each name, how it gets its values and how they are changed."""
    found: dict[str, set[str]] = {}
    for node in ast.walk(function):
        if node is not function and node is not function.args:
            for name, how in _binds(node, above):
                found.setdefault(name, set()).add(how)
    return {name: frozenset(how) for name, how in found.items()}


def _binds(
    node: ast.AST, above: Mapping[ast.AST, ast.AST]
) -> Iterator[tuple[str, str]]:
    """Yields the names that one node gives a value, or changes."""
    if isinstance(node, ast.Name) and not is_self(node):
        said = _change(node, above)
        if said:
            yield node.id, said
    elif isinstance(node, ast.ExceptHandler):
        yield node.name or "", ast.dump(node.type) if node.type else ""
    elif isinstance(node, ast.MatchAs | ast.MatchStar | ast.FunctionDef):
        yield node.name or "", ast.dump(node)
    elif isinstance(node, ast.arguments):
        for part in ast.walk(node):
            if isinstance(part, ast.arg):
                yield part.arg, ast.dump(node)


def _change(node: ast.expr, above: Mapping[ast.AST, ast.AST]) -> str:
    """Returns how a name or attribute is set or changed here, "" when it is only read."""
    if not isinstance(getattr(node, "ctx", None), ast.Load):
        return _header(node, above)
    parent = above.get(node)
    if isinstance(parent, ast.Subscript) and parent.value is node:
        return _header(parent, above) if not isinstance(parent.ctx, ast.Load) else ""
    if isinstance(parent, ast.Attribute):
        if not isinstance(parent.ctx, ast.Load):
            return _header(parent, above)
        if parent.attr in MUTATORS:
            return _header(parent, above)
    return ""


def _header(node: ast.AST, above: Mapping[ast.AST, ast.AST]) -> str:
    """Returns the smallest clause around a node that says what it becomes."""
    while True:
        parent = above.get(node)
        if parent is None:
            return ast.dump(node)
        if isinstance(parent, ast.For | ast.AsyncFor):
            return ast.dump(parent.target) + ast.dump(parent.iter)
        if isinstance(
            parent,
            ast.NamedExpr
            | ast.comprehension
            | ast.withitem
            | ast.Assign
            | ast.AnnAssign,
        ) or (isinstance(parent, ast.stmt) and isinstance(node, ast.expr)):
            return ast.dump(parent)
        node = parent
