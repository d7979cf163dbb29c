"""Every link between the project's own pages leads somewhere."""

import re
import string
from functools import cache
from pathlib import Path

import pytest

from tests.support.environment import PROJECT

PAGES = [
    *sorted(PROJECT.glob("*.md")),
    *sorted((PROJECT / "docs").rglob("*.md")),
    *sorted((PROJECT / "auto_monitor").glob("*.md")),
    *sorted((PROJECT / "deploy").rglob("*.md")),
]
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
FENCE = re.compile(r"^ *```.*?^ *```$", re.DOTALL | re.MULTILINE)


def without_code(page: Path) -> str:
    """The page without what is not read as Markdown."""
    return re.sub(r"`[^`\n]*`", "code", FENCE.sub("", page.read_text("utf-8")))


@cache
def anchors(page: Path) -> frozenset[str]:
    """The names of the page's headings, as GitHub and others make them."""
    text = FENCE.sub("", page.read_text("utf-8"))
    found: dict[str, int] = {}
    names = []
    for heading in re.findall(r"^#+ (.*)$", text, re.MULTILINE):
        kept = "".join(
            sign
            for sign in heading.strip().lower().replace(" ", "-")
            if sign in "-_" or sign not in string.punctuation
        )
        count = found.get(kept, 0)
        found[kept] = count + 1
        names.append(f"{kept}-{count}" if count else kept)
    return frozenset(names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_links_lead_somewhere(page: Path) -> None:
    """A file that is there, and of a page a heading that it has."""
    broken = []
    for link in LINK.findall(without_code(page)):
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (
            anchor and target.suffix == ".md" and anchor not in anchors(target)
        ):
            broken.append(link)
    assert broken == []


def test_the_plan_of_the_first_errors_is_found_by_its_name() -> None:
    """It leads to the catalogue, for each error it was about."""
    plan = PROJECT / "docs" / "fix_migration_errors_plan.md"
    links = LINK.findall(without_code(plan))
    assert links.count("errors.md") == 1
    assert {"errors.md#too-big", "errors.md#state-unwritable"} <= set(links)
