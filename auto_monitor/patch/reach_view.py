"""A changed function, as the checks of what it reaches look at it. Pure."""

import ast
from collections.abc import Mapping
from dataclasses import dataclass

from auto_monitor.patch import offered as tables
from auto_monitor.patch.kept_uses import Kept
from auto_monitor.patch.scopes import Path, Scope, Script, collaborators
from auto_monitor.patch.source import Function

_FRAMES = ("gi_", "cr_", "ag_", "tb_", "co_", "f_")
#: Methods of texts that are something else with other arguments.
MEANT = frozenset({"format", "replace"})


@dataclass(frozen=True, slots=True)
class View:
    """A changed function: how it was, how it is, and what its names stand for.

    `own` are the attributes of values that it set before.
    """

    script: Script
    scope: Scope
    kept: Kept
    modules: Mapping[str, str]
    imported: Mapping[str, str]
    own: frozenset[tuple[str, str]]
    function: Function

    def above(self, node: ast.AST) -> ast.AST | None:
        """Returns the node above."""
        return self.scope.above.get(node)

    def paths(self, node: ast.AST) -> frozenset[Path]:
        """Returns which collaborators an expression may stand for."""
        return collaborators(node, self.scope.aliases, self.script)


def is_denied(attr: str) -> bool:
    """Whether an attribute of this name leads out of any value."""
    return attr.startswith(("_", *_FRAMES)) or attr in tables.DENIED


def is_called(node: ast.AST, above: ast.AST | None) -> bool:
    """Whether this is what is called right here."""
    return isinstance(above, ast.Call) and above.func is node


def is_identity(node: ast.Compare) -> bool:
    """Whether a comparison only asks for the same thing."""
    return all(
        isinstance(op, ast.Is | ast.IsNot | ast.Eq | ast.NotEq) for op in node.ops
    )


def asks_type(node: ast.expr) -> bool:
    """Whether it is a call of `type`."""
    return (
        isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id == "type"
    )


def placed(node: ast.AST, view: View) -> str:
    """Allows a collaborator only where its own offer is all that can be had of it."""
    above = view.above(node)
    if isinstance(above, ast.NamedExpr) and above.value is node:
        return placed(above, view)
    fine = (
        isinstance(above, ast.Attribute)
        or _is_named(node, above)
        or (isinstance(above, ast.Compare) and _is_same(above))
        or _is_looked_at(node, view)
    )
    return "" if fine else f"{ast.unparse(node)} must not be handed on"


def _is_named(node: ast.AST, above: ast.AST | None) -> bool:
    """Whether it gets a name of its own, under which it is known."""
    if not isinstance(above, ast.Assign | ast.AnnAssign) or above.value is not node:
        return False
    targets = above.targets if isinstance(above, ast.Assign) else [above.target]
    return len(targets) == 1 and isinstance(targets[0], ast.Name)


def _is_same(node: ast.Compare) -> bool:
    return all(isinstance(op, ast.Is | ast.IsNot) for op in node.ops)


def _is_looked_at(node: ast.AST, view: View) -> bool:
    """Whether a collection of the substrate is only looked at."""
    if not view.paths(node) <= tables.READ_ONLY | {("ledger", "hashes")}:
        return False
    above = view.above(node)
    if isinstance(above, ast.Call):
        looks = ("len", "bool", "str", "sorted", "list", "set", "tuple", "dict", "any")
        named = isinstance(above.func, ast.Name) and above.func.id in looks
        return named and node in above.args
    if isinstance(above, ast.Subscript):
        return isinstance(above.ctx, ast.Load)
    return isinstance(
        above, ast.Compare | ast.comprehension | ast.For | ast.BoolOp | ast.If
    )
