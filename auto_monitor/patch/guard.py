"""What a code fix may and may not change. Pure.

It compares both scripts and returns objections. It asks what the changed code can
reach: inside a function ordinary Python is free, what leads out of it is not (`reach`,
with the tables of `offered`). This is the first of three barriers. The substrate
believes nothing that the script says, and a changed script runs confined.
"""

import ast
import difflib
from collections.abc import Iterator

from auto_monitor.patch import reach, source
from auto_monitor.patch.edit_text import EditRefused
from auto_monitor.patch.offered import FIXED, KEPT, MOST_LINES
from auto_monitor.patch.scopes import script_of
from auto_monitor.patch.source import Function, Source

_LEAVES = (ast.Return, ast.Raise, ast.Break, ast.Continue)
#: What the constructor puts the worker together from.
_ASSEMBLY = frozenset({"parts", "opened"})


def objections(before: bytes, after: bytes) -> list[str]:
    """Returns why this change of the script is not allowed; empty when it is."""
    try:
        old, new = source.read(before), source.read(after)
    except EditRefused as refusal:
        return [str(refusal)]
    mine, theirs = source.functions(old.tree), source.functions(new.tree)
    if [node.name for node in mine] != [node.name for node in theirs]:
        found = ["functions were added, removed, renamed or moved"]
    elif source.outside(old) != source.outside(new):
        found = ["something outside the functions is changed"]
    else:
        found = []
    lines = _lines_changed(old, new)
    if lines > MOST_LINES:
        found.append(f"{lines} lines change; at most {MOST_LINES} may")
    return found or _of_functions(old, new)


def _lines_changed(old: Source, new: Source) -> int:
    return sum(
        line[:1] in "+-" and line[:3] not in ("---", "+++")
        for line in difflib.unified_diff(old.lines, new.lines, lineterm="", n=0)
    )


def _of_functions(old: Source, new: Source) -> list[str]:
    """Returns the objections to what is in the changed functions."""
    script = script_of(old.tree, new.tree)
    found = []
    for was, becomes in zip(
        source.functions(old.tree), source.functions(new.tree), strict=True
    ):
        if source.text_of(old, was) == source.text_of(new, becomes):
            continue
        if was.name in FIXED:
            found.append(f"{was.name} must not be changed")
            continue
        said = [*_head(was, becomes), *_assembly(was, becomes), *_kept(was, becomes)]
        said += [*_shapes(was, becomes), *reach.objections(script, was, becomes)]
        found += [f"{was.name}: {text}" for text in dict.fromkeys(said)]
    return found


# -- the head --------------------------------------------------------------------------


def _head(old: Function, new: Function) -> Iterator[str]:
    """Objects to another kind of function, and to one called in another way."""
    if type(old) is not type(new) or _dumps(old.decorator_list) != _dumps(
        new.decorator_list
    ):
        yield "decorators and the kind of function stay as they are"
    if _yields(new) and not _yields(old):
        yield "it must not become a generator"
    if not _same_calls(old.args, new.args):
        yield "it must be called as before: only an optional parameter may be added"
    known = {*_dumps(_outer_defaults(old)), *_dumps(_annotations(old))}
    for node in (*_outer_defaults(new), *_annotations(new)):
        if ast.dump(node) not in known and any(
            isinstance(part, ast.Call | ast.NamedExpr | ast.Lambda | ast.Yield)
            for part in ast.walk(node)
        ):
            yield "defaults and annotations must not compute anything"


def _dumps(nodes: list[ast.expr]) -> list[str]:
    return [ast.dump(node) for node in nodes]


def _yields(function: Function) -> bool:
    """Whether the function itself yields, not one inside it."""
    stack: list[ast.AST] = list(function.body)
    while stack:
        node = stack.pop()
        if isinstance(node, ast.Yield | ast.YieldFrom):
            return True
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            stack += ast.iter_child_nodes(node)
    return False


def _same_calls(old: ast.arguments, new: ast.arguments) -> bool:
    """Whether every call that fits the old parameters fits the new ones."""
    was = [arg.arg for arg in (*old.posonlyargs, *old.args)]
    becomes = [arg.arg for arg in (*new.posonlyargs, *new.args)]
    more = len(becomes) - len(was)
    return (
        becomes[: len(was)] == was
        and len(old.posonlyargs) == len(new.posonlyargs)
        and len(new.defaults) >= len(old.defaults) + more
        and _named(old.vararg) == _named(new.vararg)
        and _named(old.kwarg) == _named(new.kwarg)
        and _keywords(old).items() <= _keywords(new).items()
        and all(
            optional
            for name, optional in _keywords(new).items()
            if name not in _keywords(old)
        )
    )


def _named(arg: ast.arg | None) -> str:
    return arg.arg if arg else ""


def _keywords(given: ast.arguments) -> dict[str, bool]:
    """Returns the parameters given by name only; whether each is optional."""
    return {
        arg.arg: default is not None
        for arg, default in zip(given.kwonlyargs, given.kw_defaults, strict=True)
    }


def _outer_defaults(node: Function) -> list[ast.expr]:
    named = [default for default in node.args.kw_defaults if default is not None]
    return [*node.args.defaults, *named]


def _annotations(node: Function) -> list[ast.expr]:
    given = node.args
    one = [arg for arg in (given.vararg, given.kwarg) if arg]
    all_of = [*given.posonlyargs, *given.args, *given.kwonlyargs, *one]
    found = [arg.annotation for arg in all_of if arg.annotation]
    return [*found, *([node.returns] if node.returns else [])]


# -- the body --------------------------------------------------------------------------


def _assembly(old: Function, new: Function) -> Iterator[str]:
    """Keeps the constructor's lines about what the worker is put together from."""
    if old.name == "__init__" and _assembled(old) != _assembled(new):
        yield "what the worker is put together from stays as it is"


def _assembled(node: Function) -> list[str]:
    return [
        ast.dump(statement)
        for statement in node.body
        if any(
            (isinstance(part, ast.Name) and part.id in _ASSEMBLY)
            for part in ast.walk(statement)
        )
    ]


def _kept(old: Function, new: Function) -> Iterator[str]:
    """Keeps calls that prove or account for something."""
    had, has = dict(_proofs(old)), dict(_proofs(new))
    for name, always in sorted(had.items()):
        if name not in has:
            yield f"the call of {name} proves or accounts for something: it stays"
        elif always and not has[name]:
            yield (
                f"the call of {name} proves or accounts for something: it stays, "
                "under no new condition"
            )


def _proofs(function: Function) -> Iterator[tuple[str, bool]]:
    """Yields each such call with whether it is made without any condition.

    Those come last, so that a dict keeps them.
    """
    found = list(_calls(function, function.body, certain=True))
    yield from sorted(found, key=lambda call: call[1])


def _calls(
    node: ast.AST, inside: list[ast.stmt], *, certain: bool
) -> Iterator[tuple[str, bool]]:
    children: list[ast.AST] = [*inside] if inside else [*ast.iter_child_nodes(node)]
    for child in children:
        if isinstance(child, ast.Call):
            name = _called(child)
            if name in KEPT:
                yield name, certain
        yield from _calls(child, [], certain=certain and not _conditional(node, child))


def _called(call: ast.Call) -> str:
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""


def _conditional(node: ast.AST, child: ast.AST) -> bool:
    """Whether `child` may not be reached although `node` is."""
    if isinstance(node, ast.If | ast.IfExp):
        return child is not node.test
    if isinstance(node, ast.While):
        return isinstance(node.test, ast.Constant) and not node.test.value
    if isinstance(node, ast.BoolOp):
        return child is not node.values[0]
    return isinstance(
        child, ast.ExceptHandler | ast.match_case | ast.FunctionDef | ast.Lambda
    )


def _shapes(old: Function, new: Function) -> Iterator[str]:
    """Objects to shapes that hide what a change does."""
    known = {ast.dump(node) for node in ast.walk(old)}
    for block in _blocks(new):
        if any(isinstance(part, _LEAVES) for part in block[:-1]):
            yield "there are lines that can never run"
    for node in ast.walk(new):
        if ast.dump(node) not in known:
            said = _shape(node)
            if said:
                yield said


def _shape(node: ast.AST) -> str:
    if isinstance(node, ast.If | ast.IfExp) and isinstance(node.test, ast.Constant):
        return "a condition that is always the same is not allowed"
    if (
        isinstance(node, ast.While)
        and isinstance(node.test, ast.Constant)
        and not node.test.value
    ):
        return "there are lines that can never run"
    if isinstance(node, ast.Try | ast.TryStar) and any(map(_swallows, node.finalbody)):
        return "leaving a finally block swallows every error"
    return ""


def _swallows(statement: ast.stmt) -> bool:
    return any(isinstance(part, ast.Return) for part in ast.walk(statement)) or (
        isinstance(statement, ast.If | ast.Break | ast.Continue)
        and any(
            isinstance(part, ast.Break | ast.Continue) for part in ast.walk(statement)
        )
    )


def _blocks(node: ast.AST) -> Iterator[list[ast.stmt]]:
    """Yields every list of statements in a function."""
    for part in ast.walk(node):
        for name in ("body", "orelse", "finalbody"):
            block = getattr(part, name, None)
            if isinstance(block, list):
                yield block
