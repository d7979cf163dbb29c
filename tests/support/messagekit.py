"""What the programs tell people as an error or a warning, read from their sources:
every message with its place.

Python is read as an AST, never run. A message is a template: its constant parts, with
`HOLE` for what is put in. Names are followed to what the same function (or the module)
assigns, calls of our own functions to what they return."""

import ast
import builtins
import itertools
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from tests.conftest import PROJECT

HOLE = "\0"
#: Texts longer than this are found by their beginning, cut at a blank.
FRAGMENT = 32
#: A beginning this long says enough to be looked for, though a later part is longer.
BEGINNING = 12
#: A text that is put into a message is one of its own when it is a phrase.
PHRASE = 10
#: How far calls and names are followed, and how many forms of one message are looked
#: at.
DEPTH, FORMS = 5, 24

SCRIPTS = ("bulk_migrate_calibre.py", "settings.py")
PACKAGES = ("common", "migration", "bookshelf", "auto_monitor", "deploy")

#: Methods whose first argument is told: loggers and the action log, an argument parser,
#: the alerts.
TELLING = frozenset({"warning", "error", "critical", "exception", "tell"})
#: Calls in which any argument may be a text that reaches monitor.log, the history or
#: the ledger.
TRANSFERRING = frozenset(
    {
        "Step",
        "ScalingDecision",
        "Verdict",
        "Answer",
        "Problem",
        "UploadResult",
        "HTTPForbidden",
        "HTTPNotFound",
        "conclude",
        "_propose",
    }
)
#: Keyword arguments that carry such a text in whatever call.
TRANSFERRING_KEYWORDS = frozenset({"reason", "failure", "message"})
#: Lists and tables of objections that become one message.
LISTS = frozenset({"problems", "_PROBLEMS", "failures", "wrong"})
#: Functions whose returned or yielded texts are told: objections to a code fix,
#: budgets, a damaged file.
TOLD = {
    "auto_monitor/patch/guard.py": {
        "objections",
        "_outside",
        "_inside",
        "_kinds",
        "_vocabulary",
        "_shapes",
        "_whole",
        "_risky",
    },
    "auto_monitor/repair/code_fixes.py": {"objection"},
    "auto_monitor/llm_debugger.py": {"_over_budget"},
    "auto_monitor/record/history.py": {"load"},
}

#: Python's own exceptions.
PYTHONS = frozenset(
    name
    for name, value in vars(builtins).items()
    if isinstance(value, type) and issubclass(value, BaseException)
) | {"ArgumentTypeError"}

_PLACEHOLDER = re.compile(r"%(?:\.\d+)?[sdrfgi]|%%")
_FUNCTIONS = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True, order=True)
class Message:
    """One message: where it is said, and its template."""

    file: str
    line: int
    template: str

    @property
    def fragments(self) -> tuple[str, ...]:
        """What people may look for, one of which must be found: its longest constant
        part, and the beginning.

        The beginning counts only when it says enough by itself.
        """
        parts = [
            part
            for piece in self.template.split(HOLE)
            if (part := _trimmed(" ".join(piece.split())))
        ]
        longest = max(parts, key=len)
        first = (
            (parts[0],) if len(parts[0]) >= BEGINNING and parts[0] != longest else ()
        )
        return tuple(_shortened(part) for part in (longest, *first))

    def __str__(self) -> str:
        """For a failing test: file:line, what must be found, and the whole message."""
        wanted = " or ".join(map(repr, self.fragments))
        return f"{self.file}:{self.line}: {wanted}, of {self.template.replace(HOLE, '…')!r}"


def _trimmed(text: str) -> str:
    return text.strip(" :;,.()'\"|$…—-") if any(char.isalpha() for char in text) else ""


def _shortened(text: str) -> str:
    return (
        text
        if len(text) <= FRAGMENT
        else _trimmed(text[: FRAGMENT + 1].rpartition(" ")[0])
    )


def messages() -> list[Message]:
    """All of them, in the order of the files; each template once per file."""
    found: list[Message] = []
    for module in modules():
        found += module.messages()
    for path in _shell_files():
        text = path.read_text("utf-8")
        found += [*of_shell(_name(path), text), *required_variables(_name(path), text)]
    for path in sorted((PROJECT / "deploy").rglob("*.sql")):
        found += of_sql(_name(path), path.read_text("utf-8"))
    for path in sorted(
        [*PROJECT.glob("*compose*.y*ml"), *(PROJECT / "deploy").glob("*compose*.y*ml")]
    ):
        found += required_variables(_name(path), path.read_text("utf-8"))
    return list(
        {
            (message.file, message.template): message for message in reversed(found)
        }.values()
    )[::-1]


def _name(path: Path) -> str:
    return str(path.relative_to(PROJECT))


def _python_files() -> list[Path]:
    return [PROJECT / name for name in SCRIPTS] + [
        path
        for package in PACKAGES
        for path in sorted((PROJECT / package).rglob("*.py"))
    ]


# -- Python ----------------------------------------------------------------------------


class Module:
    """One source file, with what is needed to follow names and calls."""

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.exceptions = PYTHONS
        self.tree = ast.parse(text)
        self.parents = {
            child: node
            for node in ast.walk(self.tree)
            for child in ast.iter_child_nodes(node)
        }
        self.functions: dict[str, list[_FUNCTIONS]] = {}
        for node in ast.walk(self.tree):
            if isinstance(node, _FUNCTIONS):
                self.functions.setdefault(node.name, []).append(node)

    def messages(self) -> Iterator[Message]:
        """What this file tells."""
        for node in ast.walk(self.tree):
            for expression, of_logging in self._told(node):
                whole = self.forms(expression, node, DEPTH)
                parts = {
                    part
                    for part in self._put_in(expression, node)
                    if len(part) >= PHRASE and " " in part.strip()
                }
                for template in sorted(whole | parts):
                    text = _PLACEHOLDER.sub(HOLE, template) if of_logging else template
                    if any(_trimmed(part) for part in text.split(HOLE)):
                        yield Message(self.name, expression.lineno, text)

    def _put_in(self, expression: ast.expr, place: ast.AST) -> set[str]:
        """Texts that are put into a message, as far as they can be told."""
        values = [expression]
        if isinstance(expression, ast.Name):
            scope = self.function_of(place) or self.tree
            values = [
                value
                for node in ast.walk(scope)
                for target, value in _assignments(node)
                if isinstance(target, ast.Name) and target.id == expression.id
            ]
        inner = [
            part.value
            for value in values
            for part in ast.walk(value)
            if isinstance(part, ast.FormattedValue)
        ]
        return set().union(*(self.forms(value, place, DEPTH) for value in inner))

    def _told(self, node: ast.AST) -> Iterator[tuple[ast.expr, bool]]:
        """The expressions at this node whose text is told, and whether logging fills it
        in."""
        if isinstance(node, ast.Call):
            yield from self._told_by_call(node)
        elif isinstance(node, ast.Assign):
            for target, value in _assignments(node):
                if (
                    isinstance(target, ast.Subscript)
                    and ast.unparse(target.value) in LISTS
                ):
                    yield value, False
        elif isinstance(node, ast.Return | ast.Yield) and node.value is not None:
            around = self.function_of(node)
            if around is not None and around.name in TOLD.get(self.name, ()):
                yield node.value, False

    def _told_by_call(self, node: ast.Call) -> Iterator[tuple[ast.expr, bool]]:
        called = _called(node)
        around = self.function_of(node)
        if called in self.exceptions or called in TRANSFERRING:
            for argument in (*node.args, *(keyword.value for keyword in node.keywords)):
                yield argument, False
        elif called in TELLING and node.args:
            yield node.args[0], True
        elif called == "once" and len(node.args) > 1:
            yield node.args[1], False
        elif (
            called == "write"
            and isinstance(node.func, ast.Attribute)
            and "stderr" in ast.unparse(node.func.value)
        ):
            yield node.args[0], False
        elif called == "append" and isinstance(node.func, ast.Attribute):
            listed = ast.unparse(node.func.value) in LISTS
            if listed or (
                around is not None and around.name in TOLD.get(self.name, ())
            ):
                yield node.args[0], False
        else:
            for keyword in node.keywords:
                if keyword.arg in TRANSFERRING_KEYWORDS:
                    yield keyword.value, False

    def function_of(self, node: ast.AST) -> "_FUNCTIONS | None":
        """The function around a node."""
        parent = self.parents.get(node)
        while parent is not None and not isinstance(parent, _FUNCTIONS):
            parent = self.parents.get(parent)
        return parent

    def forms(self, node: ast.expr, place: ast.AST, depth: int) -> set[str]:
        """The templates an expression may come to."""
        if depth == 0:
            return {HOLE}
        match node:
            case ast.Constant(value=str(text)):
                return {text}
            case ast.JoinedStr(values=values):
                return _product([self.forms(value, place, depth) for value in values])
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                return _product(
                    [self.forms(left, place, depth), self.forms(right, place, depth)]
                )
            case ast.IfExp(body=body, orelse=orelse):
                return self.forms(body, place, depth) | self.forms(orelse, place, depth)
            case ast.BoolOp(values=values):
                return set().union(
                    *(self.forms(value, place, depth) for value in values)
                )
            case (
                ast.Dict(values=values) | ast.List(elts=values) | ast.Tuple(elts=values)
            ):
                return set().union(
                    *(self.forms(value, place, depth) for value in values)
                ) or {HOLE}
            case ast.Name(id=name):
                return self._assigned(name, place, depth)
            case (
                ast.Subscript(value=ast.Name() as table)
                | ast.Call(func=ast.Attribute(value=table, attr="get"))
            ):
                return self.forms(table, place, depth)
            case ast.Call():
                return self._returned(node, depth)
        return {HOLE}

    def _assigned(self, name: str, place: ast.AST, depth: int) -> set[str]:
        """What a name stands for: assigned in the function, else in the module, else a
        constant of another module."""
        for scope in (self.function_of(place), self.tree):
            found = (
                [
                    value
                    for node in ast.walk(scope)
                    for target, value in _assignments(node)
                    if isinstance(target, ast.Name) and target.id == name
                ]
                if scope is not None
                else []
            )
            if found:
                return set().union(
                    *(self.forms(value, place, depth - 1) for value in found)
                )
        value = constants().get(name)
        return {value} if value is not None else {HOLE}

    def _returned(self, node: ast.Call, depth: int) -> set[str]:
        """What one of our own functions returns; cleaning a text does not change what
        it says."""
        called = _called(node)
        if called in ("for_log", "sanitize_text", "str") and node.args:
            return self.forms(node.args[0], node, depth)
        for module in (
            self,
            *(other for other in modules() if other.name != self.name),
        ):
            returned = [
                value.value
                for function in module.functions.get(called, [])
                for value in ast.walk(function)
                if isinstance(value, ast.Return) and value.value is not None
            ]
            if returned:
                return set().union(
                    *(module.forms(value, value, depth - 1) for value in returned)
                )
        return {HOLE}


@cache
def modules() -> tuple[Module, ...]:
    """All source files."""
    read = tuple(
        Module(_name(path), path.read_text("utf-8")) for path in _python_files()
    )
    ours = _ours(read)
    for module in read:
        module.exceptions = ours
    return read


def _ours(read: Sequence[Module]) -> frozenset[str]:
    """The names of Python's own exceptions and of those the project defines."""
    found = set(PYTHONS)
    classes = [
        node
        for module in read
        for node in ast.walk(module.tree)
        if isinstance(node, ast.ClassDef)
    ]
    while (
        more := {
            c.name for c in classes if any(_last(base) in found for base in c.bases)
        }
        - found
    ):
        found |= more
    return frozenset(found)


@cache
def constants() -> dict[str, str]:
    """Texts that modules keep under a name in capitals."""
    return {
        target.id: value.value
        for module in modules()
        for node in module.tree.body
        for target, value in _assignments(node)
        if isinstance(target, ast.Name)
        and target.id.isupper()
        and isinstance(value, ast.Constant)
        and isinstance(value.value, str)
    }


def _assignments(node: ast.AST) -> Iterator[tuple[ast.expr, ast.expr]]:
    """Target and value, also of `a, b = x, y` and of `for a, b in ((…, …), …)`."""
    pairs: list[tuple[ast.expr, ast.expr]] = []
    if isinstance(node, ast.Assign):
        pairs = [(target, node.value) for target in node.targets]
    elif isinstance(node, ast.AnnAssign) and node.value is not None:
        pairs = [(node.target, node.value)]
    elif isinstance(node, ast.For) and isinstance(node.iter, ast.Tuple):
        pairs = [(node.target, value) for value in node.iter.elts]
    for target, value in pairs:
        if isinstance(target, ast.Tuple) and isinstance(value, ast.Tuple):
            yield from zip(target.elts, value.elts, strict=False)
        else:
            yield target, value


def _called(node: ast.Call) -> str:
    return _last(node.func)


def _last(node: ast.expr) -> str:
    return (
        node.id
        if isinstance(node, ast.Name)
        else node.attr
        if isinstance(node, ast.Attribute)
        else ""
    )


def _product(parts: list[set[str]]) -> set[str]:
    return {
        "".join(chosen)
        for chosen in itertools.islice(itertools.product(*map(sorted, parts)), FORMS)
    } or {""}


# -- shell, SQL, Compose ---------------------------------------------------------------

_TO_STDERR = re.compile(r"\b(?:echo|printf)\b.*>&2|>&2\s*(?:echo|printf)\b")
_SAYING = re.compile(
    r"(?:^|[;&|{(]|\bthen\b|\belse\b|\bdo\b)\s*(?:die|fail|failed|warn|error|refuse|bad|usage_error)\s+"
)
_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"|\'([^\']*)\'')
_EXPANDED = re.compile(r"\$\{[^}]*\}|\$\([^)]*\)|\$\w+|\$[@*#?!]|\\n")
_REQUIRED = re.compile(r"\$\{\w+:?\?([^}]+)\}")


def _shell_files() -> list[Path]:
    files = [
        *PROJECT.glob("*.sh"),
        *(PROJECT / "deploy").rglob("*.sh"),
        *(PROJECT / "auto_monitor").glob("*.sh"),
    ]
    return sorted(path for path in files if not path.is_symlink())


def of_shell(name: str, script: str) -> Iterator[Message]:
    """`echo "…" >&2`, `die "…"` and their like, one message for each quoted text with
    words in it."""
    for number, line in enumerate(script.splitlines(), 1):
        if line.lstrip().startswith("#"):
            continue
        if _TO_STDERR.search(line) or _SAYING.search(line):
            for double, single in _QUOTED.findall(line):
                text = _PLACEHOLDER.sub(HOLE, _EXPANDED.sub(HOLE, double or single))
                if " " in text.strip() and any(
                    _trimmed(part) for part in text.split(HOLE)
                ):
                    yield Message(name, number, text)


def required_variables(name: str, text: str) -> Iterator[Message]:
    """`${NAME:?what is missing}`, in shell and in Compose files."""
    for number, line in enumerate(text.splitlines(), 1):
        for said in _REQUIRED.findall(line):
            yield Message(name, number, _EXPANDED.sub(HOLE, said))


def of_sql(name: str, script: str) -> Iterator[Message]:
    """`RAISE EXCEPTION '…'`."""
    for found in re.finditer(r"RAISE EXCEPTION\s+'((?:[^']|'')*)'", script):
        number = script.count("\n", 0, found.start()) + 1
        yield Message(name, number, found[1].replace("''", "'").replace("%", HOLE))
