"""What a name in a changed function may stand for: modules, classes, built-ins. Pure."""

import ast

from auto_monitor.patch import offered as tables
from auto_monitor.patch.reach_view import (
    MEANT,
    View,
    asks_type,
    is_called,
    is_denied,
    is_identity,
    placed,
)
from auto_monitor.patch.scopes import is_self

#: What type() may be asked for.
NAMED = frozenset({"__name__", "__qualname__"})


def of_name(node: ast.AST, view: View) -> str:
    """Objects to a name that stands for more than a value."""
    assert isinstance(node, ast.Name)
    if is_self(node):
        above = view.above(node)
        held = isinstance(above, ast.Attribute) and isinstance(node.ctx, ast.Load)
        return "" if held else "self must not be handed on"
    if not isinstance(node.ctx, ast.Load):
        return ""
    if view.paths(node):
        return placed(node, view)
    if node.id in view.modules:
        return _module(node, view)
    return _imported(node, view) if node.id in view.imported else _plain(node, view)


def _plain(node: ast.Name, view: View) -> str:
    """Looks at a name of the function, of the script, or built in."""
    if node.id in view.scope.local:
        return ""
    if node.id in tables.AS_NOW:
        return f"the name {node.id} may only be used as it is now"
    if node.id in view.script.defined or node.id in tables.BUILTINS:
        return ""
    return _special(node, view)


def _special(node: ast.Name, view: View) -> str:
    """Looks at built-in names that are free in one place only."""
    above = view.above(node)
    called = is_called(node, above)
    if node.id == "type" and isinstance(above, ast.Call) and called:
        return _type(above, view)
    if node.id in ("getattr", "hasattr") and isinstance(above, ast.Call) and called:
        return _getattr(above)
    if node.id in tables.BROAD and (_only_compared(node, view) or called):
        return ""
    return f"the name {node.id} is not allowed"


def _type(call: ast.Call, view: View) -> str:
    above = view.above(call)
    plain = len(call.args) == 1 and not call.keywords
    if plain and isinstance(above, ast.Attribute) and above.attr in NAMED:
        return ""
    if plain and isinstance(above, ast.Compare) and is_identity(above):
        return ""
    return "type() may only be asked for a name or compared"


def _getattr(call: ast.Call) -> str:
    """Allows what could be written with a dot."""
    named = call.args[1] if len(call.args) in (2, 3) else None
    text = named.value if isinstance(named, ast.Constant) else None
    if not isinstance(text, str) or not text.isidentifier() or not text.isascii():
        return "getattr and hasattr need a plain name in quotes"
    return f".{text} is not allowed" if is_denied(text) or text in MEANT else ""


def _imported(node: ast.Name, view: View) -> str:
    """Looks at a name that was imported by itself."""
    place = view.imported[node.id]
    module, _, name = place.rpartition(".")
    if place == "dataclasses.replace":
        return _replace(node, view)
    if name in tables.PROOFS or module == "pathlib":
        return (
            ""
            if _only_compared(node, view)
            else f"{node.id} may only be compared with, not made or handed on"
        )
    if name in tables.AS_NOW:
        return f"{node.id} may only be used as it is now"
    if module.partition(".")[0] in ("migration", "common", "collections", "typing"):
        return ""
    free = name in tables.MODULES.get(module, ())
    return "" if free or _only_compared(node, view) else f"{place} is not offered"


def _replace(node: ast.Name, view: View) -> str:
    """Allows copying a value with other fields, but those that prove something."""
    above = view.above(node)
    if not isinstance(above, ast.Call) or above.func is not node:
        return "replace must be called where it is named"
    changed = {keyword.arg for keyword in above.keywords}
    if None in changed or changed & tables.PROVEN:
        return "replace must not change what proves or identifies"
    return ""


def _only_compared(node: ast.AST, view: View) -> bool:
    """Whether a class stands where it is only compared with.

    In `except`, in `case`, as the second of isinstance, in an annotation.
    """
    above = view.above(node)
    while isinstance(above, ast.Tuple | ast.BinOp) and (
        isinstance(above, ast.Tuple) or isinstance(above.op, ast.BitOr)
    ):
        node, above = above, view.above(above)
    if isinstance(above, ast.ExceptHandler):
        return above.type is node
    if isinstance(above, ast.MatchClass):
        return above.cls is node
    if isinstance(above, ast.Call):
        asked = isinstance(above.func, ast.Name) and above.func.id in (
            "isinstance",
            "issubclass",
        )
        return asked and len(above.args) == 2 and above.args[1] is node
    if isinstance(above, ast.Compare):
        sides = [above.left, *above.comparators]
        others = [side for side in sides if side is not node]
        return is_identity(above) and all(map(asks_type, others))
    return _annotates(node, view)


def _annotates(node: ast.AST, view: View) -> bool:
    above = view.above(node)
    while above is not None and isinstance(above, ast.expr):
        if not isinstance(above, ast.Subscript | ast.Tuple | ast.BinOp | ast.List):
            return False
        node, above = above, view.above(above)
    if isinstance(above, ast.AnnAssign | ast.arg):
        return above.annotation is node
    return isinstance(above, ast.FunctionDef) and above.returns is node


# -- modules ---------------------------------------------------------------------------


def _module(node: ast.Name, view: View) -> str:
    """Allows of a module what its table has."""
    chain: list[str] = []
    top: ast.AST = node
    above = view.above(top)
    while isinstance(above, ast.Attribute) and above.value is top:
        if not isinstance(above.ctx, ast.Load):
            return f"{node.id} must not be changed"
        chain.append(above.attr)
        top, above = above, view.above(above)
    place = ".".join([view.modules[node.id], *chain])
    for module, names in tables.MODULES.items():
        if any(f"{place}.".startswith(f"{module}.{name}.") for name in names):
            return ""
    error = bool(chain) and chain[-1][:1].isupper() and _only_compared(top, view)
    if error or _closes_own(top, place, view):
        return ""
    return f"{place} is not offered" if chain else f"{node.id} must not be handed on"


def _closes_own(top: ast.AST, place: str, view: View) -> bool:
    """Whether it closes a descriptor that this function has opened."""
    call = view.above(top)
    if place != "os.close" or not isinstance(call, ast.Call) or call.func is not top:
        return False
    given = call.args[0] if len(call.args) == 1 and not call.keywords else None
    return isinstance(given, ast.Name) and view.kept.opened(given.id)
