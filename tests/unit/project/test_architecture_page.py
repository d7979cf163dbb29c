"""docs/architecture.md says what is there: folders, hops of the two walks, few
words."""

import ast
import re
from pathlib import Path

import pytest

from tests.support.environment import PROJECT

PAGE = (PROJECT / "docs" / "architecture.md").read_text("utf-8")
WALKS = ("What happens to one book", "What happens to a stuck worker")
HOP = re.compile(r"^\| \d+ \| .+ \| `([\w/]+\.py)`: `(\w+)` \|$", re.MULTILINE)
MOST_FILES, MOST_WORDS = 12, 12


def section(title: str) -> str:
    """What is under a heading."""
    return PAGE.split(f"\n## {title}\n", 1)[1].split("\n## ", 1)[0]


def hops(walk: str) -> list[tuple[str, str]]:
    """File and function of each step of a walk; every row of its table is one."""
    rows = re.findall(r"^\| \d+ \|.*$", section(walk), re.MULTILINE)
    found = HOP.findall(section(walk))
    assert len(found) == len(rows) > 10
    return found


def functions(file: str) -> set[str]:
    """The functions and methods a module defines."""
    tree = ast.parse((PROJECT / file).read_text("utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize("walk", WALKS)
def test_each_hop_is_a_function_of_its_file(walk: str) -> None:
    """Who follows the walk by hand finds each step."""
    wrong = [(file, name) for file, name in hops(walk) if name not in functions(file)]
    assert wrong == []


@pytest.mark.parametrize("walk", WALKS)
def test_a_walk_takes_as_many_files_as_it_says(walk: str) -> None:
    """Counted, and few enough to keep in one's head."""
    said = re.search(r"^\*\*(\d+) files\.\*\*", section(walk), re.MULTILINE)
    assert said is not None
    files = {file for file, _ in hops(walk)}
    assert len(files) == int(said[1]) <= MOST_FILES


def test_every_file_that_is_named_exists() -> None:
    """Also those outside the tables."""
    named = set(re.findall(r"`([\w./-]+/[\w./-]*)`", PAGE))
    assert len(named) > 40
    assert [name for name in sorted(named) if not (PROJECT / name).exists()] == []


def test_every_package_has_its_line() -> None:
    """A new folder of code is on the page before it is merged."""
    shown = section("Where things are")
    folders = {path.parent for path in PROJECT.glob("*/__init__.py")}
    for parent in (
        "common",
        "migration",
        "bookshelf",
        "auto_monitor",
        "dashboard",
        "deploy",
        "benchmarks",
    ):
        folders |= {path.parent for path in (PROJECT / parent).glob("*/__init__.py")}
    names = [f"`{folder.relative_to(PROJECT)}/`" for folder in sorted(folders)]
    assert [name for name in names if name not in shown] == []


def test_the_words_of_our_own_are_few() -> None:
    """Each is one more thing to learn before the first change."""
    words = re.findall(r"^\| (?!word|---)(.+?) \| .+ \|$", section("Glossary"), re.M)
    assert 0 < len(words) <= MOST_WORDS


@pytest.mark.parametrize(
    "page",
    [
        "README.md",
        "CONTRIBUTING.md",
        *sorted(
            str(path.relative_to(PROJECT)) for path in (PROJECT / "docs").rglob("*.md")
        ),
    ],
)
def test_links_lead_to_files_and_headings(page: str) -> None:
    """Those between our own pages."""
    folder = (PROJECT / page).parent
    links = re.findall(
        r"\]\((?!https?:)([^)\s]+)\)", (PROJECT / page).read_text("utf-8")
    )
    assert [
        link for link in links if not leads_somewhere(folder, PROJECT / page, link)
    ] == []


def leads_somewhere(folder: Path, page: Path, link: str) -> bool:
    """Does the file exist, and has it the heading?"""
    name, _, anchor = link.partition("#")
    target = folder / name if name else page
    if not anchor:
        return target.exists()
    return target.is_file() and anchor in anchors(target.read_text("utf-8"))


def anchors(text: str) -> set[str]:
    """Headings as links name them: lower case, blanks as dashes, no other signs."""
    titles = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {
        re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles
    }
