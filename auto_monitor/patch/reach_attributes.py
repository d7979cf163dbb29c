"""Which attributes a changed function may read and set. Pure."""

import ast
import string

from auto_monitor.patch import offered as tables
from auto_monitor.patch.reach_names import NAMED
from auto_monitor.patch.reach_view import View, asks_type, is_denied, placed
from auto_monitor.patch.scopes import Path, is_self, offered, path_of

_DATES = tables.names("year month day hour minute second microsecond tzinfo fold")


def of_attribute(node: ast.AST, view: View) -> str:
    """Objects to an attribute that leads out of what offers it."""
    assert isinstance(node, ast.Attribute)
    if not isinstance(node.ctx, ast.Load):
        return _set(node, view)
    if is_self(node.value):
        return _of_self(node, view)
    paths = view.paths(node.value)
    if paths:
        return _of_collaborator(node, paths, view)
    if isinstance(node.value, ast.Name) and node.value.id in view.modules:
        return ""  # looked at from the module's name
    if _from_module(node, view):
        return "" if node.attr[:1] != "_" else f".{node.attr} is not allowed"
    return _of_value(node, view)


def _from_module(node: ast.Attribute, view: View) -> bool:
    inner: ast.AST = node
    while isinstance(inner, ast.Attribute):
        inner = inner.value
    if not isinstance(inner, ast.Name) or inner.id not in view.modules:
        return False
    place = ".".join([view.modules[inner.id], *path_of(node, {inner.id})])
    return any(
        f"{module}.{name}".startswith(place)
        for module, names in tables.MODULES.items()
        for name in names
    )


def _of_self(node: ast.Attribute, view: View) -> str:
    if node.attr.startswith("__"):
        return f".{node.attr} is not allowed"
    return placed(node, view) if view.paths(node) else ""


def _of_collaborator(node: ast.Attribute, paths: frozenset[Path], view: View) -> str:
    if node.attr.startswith("_"):
        return f".{node.attr} is private"
    if node.attr in tables.SECRETS and _is_tested(node, view):
        return ""
    for path in sorted(paths):
        said = _offers(path, node.attr, view)
        if said:
            return said
    if view.paths(node):
        return placed(node, view)
    if node.attr == "set" and ("tracker",) in paths:
        return _shows(node, view)
    return ""


def _is_tested(node: ast.AST, view: View) -> bool:
    """Whether it only matters that there is something."""
    above = view.above(node)
    negated = isinstance(above, ast.UnaryOp) and isinstance(above.op, ast.Not)
    return negated or (
        isinstance(above, ast.If | ast.IfExp | ast.While) and above.test is node
    )


def _offers(path: Path, attr: str, view: View) -> str:
    """Whether a collaborator offers this."""
    here = "self." + ".".join(path)
    if path in tables.READ_ONLY:
        changes = attr in tables.MUTATORS
        return f"{here} must not be changed" if changes else ""
    if path == (tables.OPTIONS,):
        return f"{here}.{attr} is a secret" if attr in tables.SECRETS else ""
    table = offered(path)
    if table is None:
        known = (*path, attr) in view.script.used
        return "" if known else f"{here}.{attr} is not used by the script"
    return "" if attr in table else f"{here}.{attr} is not offered to the script"


def _shows(node: ast.Attribute, view: View) -> str:
    above = view.above(node)
    if not isinstance(above, ast.Call) or above.func is not node:
        return "tracker.set must be called where it is named"
    changed = {keyword.arg for keyword in above.keywords}
    if above.args or not changed <= tables.SHOWN:
        return f"tracker.set may only show {', '.join(sorted(tables.SHOWN))}"
    return ""


def _of_value(node: ast.Attribute, view: View) -> str:
    """Looks at an attribute of what is, for all that is known, a value."""
    if node.attr in NAMED and asks_type(node.value):
        return ""
    if node.attr == "__traceback__" and _is_passed_on(view.above(node)):
        return ""
    if is_denied(node.attr):
        return f".{node.attr} is not allowed"
    if node.attr == "format":
        return _format(node, view)
    return _replaced(node, view) if node.attr == "replace" else ""


def _is_passed_on(above: ast.AST | None) -> bool:
    """Whether a traceback goes from one error to another, and nowhere else."""
    return (
        isinstance(above, ast.Call)
        and isinstance(above.func, ast.Attribute)
        and above.func.attr == "with_traceback"
    )


def _format(node: ast.Attribute, view: View) -> str:
    """Allows `format` of a file's id, and of a text whose fields are plain names."""
    above = view.above(node)
    if isinstance(above, ast.Call) and above.func is node:
        text = node.value.value if isinstance(node.value, ast.Constant) else None
        if isinstance(text, str) and _plain_fields(text):
            return ""
        return "format needs a text with plain fields, such as {} or {name}"
    base = node.value
    of_id = isinstance(base, ast.Attribute) and base.attr == "id"
    if of_id and isinstance(base, ast.Attribute) and not is_self(base.value):
        return ""
    if isinstance(
        above, ast.Compare | ast.Attribute | ast.FormattedValue | ast.Subscript
    ):
        return ""
    return "format must be called where it is named"


def _plain_fields(text: str) -> bool:
    """Whether no field of a format reaches into what it is given."""
    try:
        parts = list(string.Formatter().parse(text))
    except ValueError:
        return False
    return all(
        (name is None or not set(name) & set(".[")) and _plain_fields(spec or "")
        for _literal, name, spec, _conversion in parts
    )


def _replaced(node: ast.Attribute, view: View) -> str:
    """Allows `replace` as texts and times have it; a path's has one argument."""
    above = view.above(node)
    if not isinstance(above, ast.Call) or above.func is not node:
        return "replace must be called where it is named"
    keywords = {keyword.arg for keyword in above.keywords}
    starred = any(isinstance(arg, ast.Starred) for arg in above.args)
    of_text = len(above.args) in (2, 3) and not keywords and not starred
    of_time = bool(keywords) and not above.args and keywords <= _DATES
    return "" if of_text or of_time else "replace needs what to replace, and by what"


def _set(node: ast.Attribute, view: View) -> str:
    """Allows setting what the script itself keeps in its worker."""
    if isinstance(node.ctx, ast.Del):
        return f"{ast.unparse(node)} must not be deleted"
    if is_self(node.value):
        taken = node.attr in view.script.held or node.attr in view.script.methods
        private = node.attr.startswith("__") or node.attr in ("publish", "clock")
        return f"self.{node.attr} must not be replaced" if taken or private else ""
    if (ast.unparse(node.value), node.attr) in view.own and not view.paths(node.value):
        return ""
    return f"{ast.unparse(node)} must not be set"
