"""What a code fix may and may not change. Pure: both texts in, the objections out; an
allow-list over the AST.

Not a sandbox (`gate` runs candidates in one): the first of two walls, and the one that
keeps a fix small and to the point. What the code already did in the same function it
may go on doing; beyond that only the tables of `vocabulary`."""

import ast
import difflib
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from auto_monitor.patch.vocabulary import (
    ATTRIBUTES,
    MOST_LINES,
    NAMES,
    PATCHABLE,
    PROOFS,
    WHOLE,
)

_NODES = (
    ast.FunctionDef,
    ast.arguments,
    ast.arg,
    ast.Return,
    ast.Assign,
    ast.AugAssign,
    ast.AnnAssign,
    ast.For,
    ast.While,
    ast.If,
    ast.With,
    ast.withitem,
    ast.Raise,
    ast.Try,
    ast.ExceptHandler,
    ast.Expr,
    ast.Pass,
    ast.Break,
    ast.Continue,
    ast.BoolOp,
    ast.NamedExpr,
    ast.BinOp,
    ast.UnaryOp,
    ast.IfExp,
    ast.Dict,
    ast.Set,
    ast.ListComp,
    ast.SetComp,
    ast.DictComp,
    ast.GeneratorExp,
    ast.comprehension,
    ast.Compare,
    ast.Call,
    ast.keyword,
    ast.FormattedValue,
    ast.JoinedStr,
    ast.Constant,
    ast.Attribute,
    ast.Subscript,
    ast.Starred,
    ast.Name,
    ast.List,
    ast.Tuple,
    ast.Slice,
    ast.Lambda,
    ast.Match,
    ast.match_case,
    ast.MatchValue,
    ast.MatchSingleton,
    ast.MatchAs,
    ast.MatchOr,
    ast.Assert,
    ast.expr_context,
    ast.boolop,
    ast.operator,
    ast.unaryop,
    ast.cmpop,
)
_BROAD = frozenset(
    {"Exception", "BaseException", "MigrationError", "RuntimeError", "OSError"}
)
_PLACE = re.compile(
    r"://|^[/~.\\]|\\|/\w|\b\d{1,3}(\.\d{1,3}){3}\b"
    r"|\b[\w-]+\.(com|net|org|io|dev|local|ru|xyz|onion)\b"
)
_HUGE = 10**9
_LEAVES = (ast.Return, ast.Raise, ast.Break, ast.Continue)
_HIDDEN = frozenset(
    {
        "open",
        "print",
        "type",
        "super",
        "object",
        "property",
        "staticmethod",
        "bytes",
        "hash",
        "id",
    }
)

Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class _Uses:
    """What a function uses: names, attributes read and written, texts, proof calls with
    the conditions around them."""

    names: frozenset[str]
    attributes: frozenset[str]
    written: frozenset[str]
    texts: frozenset[str]
    proofs: Counter[tuple[str, str]]
    nodes: Counter[str]
    handlers: frozenset[str]


def objections(before: str, after: str) -> list[str]:
    """Why this change of the script is not allowed; empty when it is. Both texts are
    Python that parses."""
    old, new = ast.parse(before), ast.parse(after)
    mine, theirs = _functions(old), _functions(new)
    changed = [
        (was, becomes)
        for was, becomes in zip(mine, theirs, strict=False)
        if ast.dump(was) != ast.dump(becomes)
    ]
    if [node.name for node in mine] != [node.name for node in theirs]:
        found = ["functions were added, removed, renamed or moved"]
    else:
        found = list(_outside(old, new, changed))
    lines = sum(
        line[:1] in "+-"
        for line in difflib.ndiff(before.splitlines(), after.splitlines())
    )
    if lines > MOST_LINES:
        found.append(f"{lines} lines change; at most {MOST_LINES} may")
    if found:
        return found
    for was, becomes in changed:
        found += [f"{was.name}: {text}" for text in _inside(was, becomes)]
    return found


def _outside(
    old: ast.Module, new: ast.Module, changed: Sequence[tuple[Function, Function]]
) -> Iterator[str]:
    """Everything but the bodies of functions that may be changed stays as it is."""
    for was, becomes in changed:
        if was.name not in PATCHABLE:
            allowed = ", ".join(sorted(PATCHABLE))
            yield f"{was.name} must not be changed; a fix may change only {allowed}"
        if _head(was) != _head(becomes):
            yield f"{was.name}: parameters, decorators and the kind of function stay as they are"
    if _without_bodies(old) != _without_bodies(new):
        yield "something outside the functions is changed"


def _functions(tree: ast.Module) -> list[Function]:
    """Functions of the module and methods of its classes, in order; those inside others
    are part of these."""
    found: list[Function] = []
    for node in tree.body:
        if isinstance(node, Function):
            found.append(node)
        elif isinstance(node, ast.ClassDef):
            found += [inner for inner in node.body if isinstance(inner, Function)]
    return found


def _head(node: Function) -> str:
    returns = ast.dump(node.returns) if node.returns else ""
    return (
        type(node).__name__
        + ast.dump(node.args)
        + "".join(map(ast.dump, node.decorator_list))
        + returns
    )


def _without_bodies(tree: ast.Module) -> str:
    """The module's shape with every function's body left out."""
    parts = []
    for node in tree.body:
        if isinstance(node, Function):
            parts.append(node.name)
        elif isinstance(node, ast.ClassDef):
            inner = [
                part.name if isinstance(part, Function) else ast.dump(part)
                for part in node.body
            ]
            head = [
                ast.dump(part)
                for part in (*node.bases, *node.decorator_list, *node.keywords)
            ]
            parts.append(f"{node.name}{head}{inner}")
        else:
            parts.append(ast.dump(node))
    return "\n".join(parts)


def _inside(old: Function, new: Function) -> Iterator[str]:
    """Objections to the new body of one function."""
    had, has = _uses(old), _uses(new)
    yield from _kinds(had, has)
    yield from _vocabulary(had, has, _bound(new) | _parameters(new))
    for call, _around in sorted((had.proofs - has.proofs).keys()):
        yield (
            f"the call {call[:80]} proves or accounts for something: it stays, "
            "under the same conditions"
        )
    for caught in sorted(has.handlers - had.handlers):
        if caught in _BROAD or not caught:
            yield f"except {caught or 'without a type'} is too broad"
    for block in _blocks(new):
        if any(isinstance(part, _LEAVES) for part in block[:-1]):
            yield "there are lines that can never run"
    yield from _shapes(old, new)


def _kinds(had: _Uses, has: _Uses) -> Iterator[str]:
    """Only kinds of statements and expressions that are known to be harmless, or that
    were there."""
    allowed = {kind.__name__ for kind in _NODES} | {
        kind for kind in had.nodes if kind not in ("Global", "Nonlocal")
    }
    strange = sorted(
        kind
        for kind in has.nodes
        if kind not in allowed and not issubclass(getattr(ast, kind), _NODES)
    )
    if strange:
        yield f"{', '.join(strange)} is not allowed"
    if has.nodes["FunctionDef"] > max(1, had.nodes["FunctionDef"]):
        yield "a function inside the function is not allowed"


def _vocabulary(had: _Uses, has: _Uses, local: set[str]) -> Iterator[str]:
    """Names, attributes and texts: what the function used already, or what the tables
    allow."""
    for name in sorted(has.names - had.names - NAMES - local):
        yield f"the name {name} is neither used by the function now nor allowed"
    for name in sorted(has.attributes - had.attributes - ATTRIBUTES):
        yield f"the attribute .{name} is neither used by the function now nor allowed"
    for name in sorted(has.written - had.written):
        yield f"an assignment to .{name} is not allowed"
    for name in sorted(local | has.names | has.attributes):
        if name.startswith("__") and name not in had.names | had.attributes:
            yield f"{name} is not allowed"
    for text in sorted(has.texts - had.texts):
        if _PLACE.search(text) or len(text) > 200:
            yield f"the text {text[:40]!r} looks like a host or a path, or is too long"


def _shapes(old: Function, new: Function) -> Iterator[str]:
    """What single new expressions must not be."""
    known = {ast.dump(node) for node in ast.walk(old)}
    local = _bound(new)
    hidden = sorted((local - _bound(old)) & (NAMES | _HIDDEN))
    if hidden:
        yield f"{', '.join(hidden)} must not be given another meaning"
    parents = {
        child: node for node in ast.walk(new) for child in ast.iter_child_nodes(node)
    }
    strange = {node for node in ast.walk(new) if ast.dump(node) not in known}
    for node in ast.walk(new):
        parent = parents.get(node)
        if node in strange or parent in strange:
            objection = _whole(node, parent) or _risky(node, local)
            if objection:
                yield objection


def _whole(node: ast.AST, parent: ast.AST | None) -> str:
    """The worker and its collaborators are used through their attributes, never handed
    on."""
    if isinstance(parent, ast.Attribute):
        return ""
    if isinstance(node, ast.Attribute) and node.attr in WHOLE and _is_self(node.value):
        return f"self.{node.attr} must not be handed on"
    return "self must not be handed on" if _is_self(node) else ""


def _risky(node: ast.AST, local: set[str]) -> str:
    """Single expressions that could do harm, or hide what they do."""
    if isinstance(node, ast.Constant):
        if isinstance(node.value, bytes):
            return "bytes are not allowed"
        large = isinstance(node.value, int | float) and abs(node.value) > _HUGE
        return "a number that large is not allowed" if large else ""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Pow | ast.LShift):
        return "powers and shifts are not allowed"
    if isinstance(node, ast.Call) and not _plainly_called(node.func, local):
        return "only names and attributes may be called"
    if isinstance(node, ast.If) and isinstance(node.test, ast.Constant):
        return "a condition that is always the same is not allowed"
    return ""


def _plainly_called(function: ast.expr, local: set[str]) -> bool:
    """A call of a name or an attribute; not of a subscript, a lambda, or of something
    stored a line before."""
    return isinstance(function, ast.Attribute) or (
        isinstance(function, ast.Name) and function.id not in local
    )


def _is_self(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id == "self"


def _bound(node: Function) -> set[str]:
    """Names the body gives a meaning to."""
    names = {
        part.id
        for part in ast.walk(node)
        if isinstance(part, ast.Name) and not isinstance(part.ctx, ast.Load)
    }
    names |= {
        part.name
        for part in ast.walk(node)
        if isinstance(part, ast.ExceptHandler | ast.MatchAs) and part.name
    }
    inner = {part.arg for part in ast.walk(node) if isinstance(part, ast.arg)}
    return names | (inner - _parameters(node))


def _parameters(node: Function) -> set[str]:
    return {part.arg for part in ast.walk(node.args) if isinstance(part, ast.arg)}


def _blocks(node: ast.AST) -> Iterator[list[ast.stmt]]:
    """Every list of statements in a function."""
    for part in ast.walk(node):
        for name in ("body", "orelse", "finalbody"):
            block = getattr(part, name, None)
            if isinstance(block, list):
                yield block


def _uses(node: Function) -> _Uses:
    names: set[str] = set()
    attributes: set[str] = set()
    written: set[str] = set()
    handlers: set[str] = set()
    for part in ast.walk(node):
        if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Load):
            names.add(part.id)
        elif isinstance(part, ast.Attribute):
            (attributes if isinstance(part.ctx, ast.Load) else written).add(part.attr)
        elif isinstance(part, ast.keyword) and part.arg is None:
            attributes.add("**")
        elif isinstance(part, ast.ExceptHandler):
            handlers |= _caught(part)
    texts = {
        part.value
        for part in ast.walk(node)
        if isinstance(part, ast.Constant) and isinstance(part.value, str)
    }
    kinds = Counter(type(part).__name__ for part in ast.walk(node))
    return _Uses(
        frozenset(names),
        frozenset(attributes),
        frozenset(written),
        frozenset(texts),
        Counter(_proofs(node, ())),
        kinds,
        frozenset(handlers),
    )


def _proofs(node: ast.AST, around: tuple[str, ...]) -> Iterator[tuple[str, str]]:
    """Calls that prove something, each with the conditions under which it is made."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name | ast.Attribute):
        called = node.func.id if isinstance(node.func, ast.Name) else node.func.attr
        if called in PROOFS:
            yield ast.unparse(node), " and ".join(around)
    for name, value in ast.iter_fields(node):
        inside = around
        if isinstance(node, ast.If | ast.IfExp) and name in ("body", "orelse"):
            inside = (
                *around,
                ("" if name == "body" else "not ") + ast.unparse(node.test),
            )
        elif (
            isinstance(node, ast.While)
            and name in ("body", "orelse")
            and isinstance(node.test, ast.Constant)
        ):
            inside = around if node.test.value else (*around, "never")
        elif isinstance(node, ast.ExceptHandler) and name == "body":
            inside = (*around, "except")
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST):
                yield from _proofs(child, inside)


def _caught(handler: ast.ExceptHandler) -> set[str]:
    if handler.type is None:
        return {""}
    parts = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
    return {ast.unparse(part) for part in parts}
