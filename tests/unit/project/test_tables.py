"""Every table of every document is shown as a table, with all its cells.

Read by a Markdown parser with GitHub's tables. It drops a cell too many and makes up one
that is missing, as GitHub does: so cells are counted in the source.
"""

import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from tests.support.environment import PROJECT

#: Where documents are.
PLACES = ("*.md", "docs/**/*.md", "*/README.md")
#: A bar that ends a cell: one that is escaped does not, even in code.
BAR = re.compile(r"(?<!\\)\|")


def documents() -> list[Path]:
    """Every document of the project."""
    found = {path for place in PLACES for path in PROJECT.glob(place)}
    return sorted(path for path in found if not path.parent.name.startswith("."))


def cells(row: str) -> int:
    """The number of cells in a row as it is written."""
    inside = re.sub(r"^\||(?<!\\)\|$", "", row.strip())
    return len(BAR.split(inside))


def faults(text: str) -> Iterator[str]:
    """What of a document's tables would not be shown as it is meant, with the line."""
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    lines = text.splitlines()
    for before, token in pairwise([Token("", "", 0), *tokens]):
        first, end = token.map or (0, 0)
        if token.type == "table_open":
            wanted = cells(lines[first])
            for number in range(first, end):
                if lines[number].strip() and cells(lines[number]) != wanted:
                    has = cells(lines[number])
                    yield f"line {number + 1} has {has} cells, its table {wanted}"
        elif token.type == "inline" and before.type not in ("th_open", "td_open"):
            for number in range(first, end):
                if lines[number].lstrip(" >").startswith("|"):
                    yield f"line {number + 1} belongs to no table"


@pytest.mark.parametrize("path", documents(), ids=lambda path: path.name)
def test_tables_are_shown(path: Path) -> None:
    """Header, separator, all rows with as many cells, none cut off by an empty line."""
    assert list(faults(path.read_text("utf-8"))) == []


def test_the_documents_are_found() -> None:
    """Those with most tables are among them."""
    found = {str(path.relative_to(PROJECT)) for path in documents()}
    assert {
        "README.md",
        "CHANGELOG.md",
        "auto_monitor/README.md",
        "demo/README.md",
        "docs/operations.md",
        "docs/decisions/README.md",
    } <= found


WHOLE = "| a | b |\n| --- | --- |\n| 1 | 2 |\n"


@pytest.mark.parametrize(
    ("text", "found"),
    [
        pytest.param(WHOLE, [], id="whole"),
        pytest.param(f"Words\n\n{WHOLE}\nWords | and a bar", [], id="among words"),
        pytest.param(
            f"{WHOLE}\n| 3 | 4 |\n", ["line 5 belongs to no table"], id="torn"
        ),
        pytest.param(
            "| a | b |\n| 1 | 2 |\n",
            ["line 1 belongs to no table", "line 2 belongs to no table"],
            id="no separator",
        ),
        pytest.param(
            "| a | b |\n| --- |\n| 1 | 2 |\n",
            [f"line {n} belongs to no table" for n in (1, 2, 3)],
            id="separator of another length",
        ),
        pytest.param(
            f"{WHOLE}| 3 |\n", ["line 4 has 1 cells, its table 2"], id="cell missing"
        ),
        pytest.param(
            f"{WHOLE}| 3 | `a|b` |\n",
            ["line 4 has 3 cells, its table 2"],
            id="bar in code",
        ),
        pytest.param(f"{WHOLE}| 3 | `a\\|b` |\n", [], id="escaped bar"),
        pytest.param(f"```\n{WHOLE}\n| 3 |\n```\n", [], id="an example"),
        pytest.param(
            f"- point\n\n  {WHOLE}".replace("\n|", "\n  |"), [], id="in a list"
        ),
        pytest.param(
            f"Words\n{WHOLE}\n> | 3 | 4 |\n",
            ["line 6 belongs to no table"],
            id="in a quotation",
        ),
    ],
)
def test_what_is_found(text: str, found: list[str]) -> None:
    """The ways in which a table is not shown as it is meant."""
    assert list(faults(text)) == found
