"""Python source as bytes, and as the interpreter reads them. Pure.

An edit counts lines of text, the guard looks at a tree, the interpreter runs bytes. All
three must mean the same: a declared encoding, a lone carriage return or a NUL would let
a comment become code. Such a script is refused, as is an edit that would make one.
"""

import ast
import io
import re
import tokenize
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from types import CodeType

from auto_monitor.patch.edit_text import EditRefused

#: The longest script accepted, in bytes.
LONGEST = 1_000_000

#: A declaration of an encoding as the interpreter looks for it (PEP 263), wherever the
#: comment begins.
_DECLARED = re.compile(r"#.*?coding[:=][ \t]*([-\w.]+)")
#: How lines may be told apart: by anything that any reader takes for a line's end.
_ANY_END = re.compile("[\n\r\v\f\x1c\x1d\x1e\x85\u2028\u2029]")
_HIDDEN = ("Cc", "Cf", "Cs", "Zl", "Zp")
_PLAIN_UTF8 = ("utf-8", "utf8")


@dataclass(frozen=True, slots=True)
class Source:
    """A script: its lines without their ends, their ends, and its tree."""

    lines: tuple[str, ...]
    ends: tuple[str, ...]
    tree: ast.Module


Function = ast.FunctionDef | ast.AsyncFunctionDef


@lru_cache(maxsize=4)
def read(data: bytes, what: str = "the script") -> Source:
    """Reads a script. Raises EditRefused when there are two ways to read it."""
    if len(data) > LONGEST:
        raise EditRefused(f"more than {LONGEST} bytes of {what} are not looked at")
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise EditRefused(f"{what} is not UTF-8 (byte {error.start})") from None
    lines, ends = _lines(text)
    _refuse_signs(lines, what)
    _refuse_encoding(data, text, what)
    tree = parsed(data, what)
    if not text.isascii():
        if _code(data, what) != _code(text, what):
            raise EditRefused(f"{what} means one thing as bytes and another as text")
        _refuse_tokens(data, lines, what)
    return Source(lines, ends, tree)


def _lines(text: str) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns the lines and their ends, LF or CRLF; a lone CR stays in its line."""
    parts = text.split("\n")
    lines = [part.removesuffix("\r") for part in parts[:-1]]
    ends = ["\r\n" if part.endswith("\r") else "\n" for part in parts[:-1]]
    return (*lines, parts[-1]), (*ends, "")


def _refuse_signs(lines: Sequence[str], what: str) -> None:
    """Refuses what one reader takes for a line's end or for nothing, another not."""
    for number, line in enumerate(lines, 1):
        sign = hidden(line, allowed="\t")
        if sign is not None:
            raise EditRefused(
                f"line {number} of {what} has the character U+{ord(sign):04X}, which "
                "is not allowed in code"
            )


def hidden(line: str, allowed: str = "") -> str | None:
    """Returns the first character that is not seen, or moves others; None without."""
    if line.isascii() and line.isprintable():
        return None
    return next(
        (
            sign
            for sign in line
            if unicodedata.category(sign) in _HIDDEN and sign not in allowed
        ),
        None,
    )


def declares_encoding(line: str) -> bool:
    """Whether a reader might take the line for the declaration of an encoding."""
    return _DECLARED.search(line) is not None


def _refuse_encoding(data: bytes, text: str, what: str) -> None:
    """Refuses any encoding but UTF-8 in what may be the first two lines."""
    try:
        found, _lines = tokenize.detect_encoding(io.BytesIO(data).readline)
    except SyntaxError as error:
        raise EditRefused(f"{what} is not valid Python: {error}") from None
    if found != "utf-8":
        raise EditRefused(f"{what} declares the encoding {found}")
    for line in _ANY_END.split(text, maxsplit=3)[:3]:
        other = _DECLARED.search(line)
        if other is not None and other[1].lower() not in _PLAIN_UTF8:
            raise EditRefused(f"{what} declares the encoding {other[1][:20]}")


def parsed(code: str | bytes, what: str) -> ast.Module:
    """Parses code as the interpreter does. Raises EditRefused."""
    try:
        return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise EditRefused(f"{what} is not valid Python: {explain(error)}") from None


def _code(code: str | bytes, what: str) -> CodeType:
    """Compiles code, to compare: lines, names and constants count."""
    try:
        return compile(code, "script", "exec", dont_inherit=True)
    except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
        raise EditRefused(f"{what} is not valid Python: {explain(error)}") from None


def explain(error: BaseException) -> str:
    """Returns what is wrong with code that does not parse."""
    return (
        f"line {error.lineno}: {error.msg}"
        if isinstance(error, SyntaxError)
        else type(error).__name__
    )


def _refuse_tokens(data: bytes, lines: Sequence[str], what: str) -> None:
    """Checks that each token is where the lines have it, and that names are plain.

    A name in other letters is another name to whoever reads it: the interpreter takes
    U+FF45 for an e.
    """
    try:
        tokens = list(tokenize.tokenize(io.BytesIO(data).readline))
    except (tokenize.TokenError, SyntaxError, UnicodeError) as error:
        raise EditRefused(f"{what} is not valid Python: {error}") from None
    for token in tokens:
        if token.type == tokenize.NAME and not token.string.isascii():
            raise EditRefused(
                f"line {token.start[0]} of {what}: names are written in ASCII"
            )
        if token.type in (tokenize.NAME, tokenize.OP, tokenize.NUMBER):
            (row, begin), (_row, end) = token.start, token.end
            if row > len(lines) or lines[row - 1][begin:end] != token.string:
                raise EditRefused(f"line {row} of {what} can be read in two ways")


# -- functions -------------------------------------------------------------------------


def functions(tree: ast.Module) -> list[Function]:
    """Returns the module's functions and its classes' methods, in order.

    Nested functions are part of these.
    """
    return list(_functions(tree))


def _functions(tree: ast.Module) -> Iterator[Function]:
    for node in tree.body:
        if isinstance(node, Function):
            yield node
        elif isinstance(node, ast.ClassDef):
            yield from (inner for inner in node.body if isinstance(inner, Function))


def span(node: Function) -> tuple[int, int]:
    """Returns the first and last line, from 1, decorators included."""
    first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
    return first, node.end_lineno or node.lineno


def text_of(found: Source, node: Function) -> str:
    """Returns the lines of a function."""
    first, last = span(node)
    return "\n".join(found.lines[first - 1 : last])


def outside(found: Source) -> list[str]:
    """Returns the text between the functions: before the first, between, after."""
    whole = [line + end for line, end in zip(found.lines, found.ends, strict=True)]
    parts, place = [], 0
    for node in functions(found.tree):
        first, last = span(node)
        parts.append("".join(whole[place : first - 1]))
        place = last
    return [*parts, "".join(whole[place:])]
