"""What a function did before its change, and goes on doing. Pure.

It may go on doing it word for word: the same call with the same arguments, and with
the same values in their names. A time-out may be added.
"""

import ast
import copy
import re
from collections.abc import Mapping

from auto_monitor.patch.offered import LIMITING
from auto_monitor.patch.scopes import Scope, Script, is_self
from auto_monitor.patch.source import Function

_OPENS = ("os.open(",)
#: `name = not …`, `name = … == …`, as `ast.dump` has it.
_TRUTH = re.compile(
    r"Assign\(targets=\[Name\(id='\w+', ctx=Store\(\)\)\], "
    r"value=(?:UnaryOp\(op=Not\(\)|Compare\()"
)


class Kept:
    """The uses of one function before its change."""

    def __init__(
        self, script: Script, was: tuple[Function, Scope], now: tuple[Function, Scope]
    ) -> None:
        old, before = was
        self._script, self._new = script, now[0]
        self._before, self._after = before, now[1]
        #: What it did for every error.
        self.handlers = frozenset(
            ast.dump(node)
            for node in ast.walk(old)
            if isinstance(node, ast.ExceptHandler)
        )
        self._known = frozenset(
            _plain(node)
            for node in ast.walk(old)
            if isinstance(node, ast.expr | ast.Import | ast.ImportFrom)
            and _is_whole(node, before.above)
        )

    def same(self, node: ast.AST) -> bool:
        """Whether this is part of something that the function did already."""
        above: Mapping[ast.AST, ast.AST] = self._after.above
        part: ast.AST | None = node
        while part is not None and not isinstance(part, ast.FunctionDef):
            kind = isinstance(part, ast.expr | ast.Import | ast.ImportFrom)
            if (
                kind
                and not _only_names(part)
                and _is_whole(part, above)
                and _plain(part) in self._known
                and self._same_values(part)
            ):
                return True
            part = above.get(part)
        return False

    def _same_values(self, node: ast.AST) -> bool:
        """Whether all names in it get their values as before."""
        names, seen = _names(node), set[str]()
        while names:
            name = names.pop()
            if name in seen:
                continue
            seen.add(name)
            now, before = self._bindings(name)
            if not now <= before:
                return False
            names |= {
                other
                for other in (*self._after.bindings, *self._script.writes[1])
                if any(
                    f"'{other}'" in binding for binding in now if not _is_truth(binding)
                )
            }
        return True

    def _bindings(self, name: str) -> tuple[frozenset[str], frozenset[str]]:
        before, after = self._script.writes
        none = frozenset[str]()
        here = (
            self._after.bindings.get(name, none),
            self._before.bindings.get(name, none),
        )
        return here[0] | after.get(name, none), here[1] | before.get(name, none)

    def opened(self, name: str) -> bool:
        """Whether the name is a descriptor that this function opens itself."""
        values = [
            part.value
            for part in ast.walk(self._new)
            if isinstance(part, ast.Assign)
            and len(part.targets) == 1
            and isinstance(part.targets[0], ast.Name)
            and part.targets[0].id == name
        ]
        bound = self._after.bindings.get(name, frozenset())
        return (
            len(values) == len(bound) == 1
            and ast.unparse(values[0]).startswith(_OPENS)
            and self.same(values[0])
        )


def _is_whole(node: ast.AST, above: Mapping[ast.AST, ast.AST]) -> bool:
    """Whether nothing more is got out of an expression where it stands."""
    parent = above.get(node)
    return not (
        (isinstance(parent, ast.Attribute | ast.Subscript) and parent.value is node)
        or (isinstance(parent, ast.Call) and parent.func is node)
    )


def _is_truth(binding: str) -> bool:
    """Whether a name only becomes true or false, which leads nowhere."""
    return _TRUTH.match(binding) is not None


def _only_names(node: ast.AST) -> bool:
    """Whether it only names something, which may be used in many ways."""
    while isinstance(node, ast.Attribute):
        node = node.value
    return isinstance(node, ast.Name)


def _plain(node: ast.AST) -> str:
    """Returns an expression as text, without keywords that only limit a call."""
    if not any(isinstance(part, ast.Call) for part in ast.walk(node)):
        return ast.dump(node)
    plain = copy.deepcopy(node)
    for part in ast.walk(plain):
        if isinstance(part, ast.Call):
            part.keywords = [
                keyword
                for keyword in part.keywords
                if keyword.arg not in LIMITING
                or not isinstance(keyword.value, ast.Constant)
            ]
    return ast.dump(plain)


def _names(node: ast.AST) -> set[str]:
    """Returns the names and the worker's attributes that an expression reads."""
    return {
        part.attr if isinstance(part, ast.Attribute) else part.id
        for part in ast.walk(node)
        if (isinstance(part, ast.Name) and not is_self(part))
        or (isinstance(part, ast.Attribute) and is_self(part.value))
    }
