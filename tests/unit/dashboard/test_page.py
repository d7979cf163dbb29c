"""What the page's scripts may not do, whatever they are changed to."""

import re

import pytest

from tests.support.environment import PROJECT

STATIC = PROJECT / "dashboard" / "web" / "static"
OURS = [
    *sorted(STATIC.glob("*.js")),
    *sorted((PROJECT / "dashboard" / "web" / "templates").glob("*.html")),
]
MARKUP = (
    r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|srcdoc|\beval\b|new "
    r"Function"
)


@pytest.mark.parametrize("path", OURS, ids=lambda path: path.name)
def test_text_never_becomes_markup_and_nothing_comes_from_elsewhere(
    path: object,
) -> None:
    """Only text nodes and attributes; no address of another host."""
    text = (STATIC / str(path)).read_text("utf-8")
    assert re.findall(MARKUP, text) == []
    assert re.findall(r"https?://|//[a-z]+\.[a-z]", text) == []
    assert re.findall(r"<script(?! src=)|\son\w+=|\|\s*safe", text) == []
    if not str(path).endswith("report.html"):
        assert re.findall(r"style=|<style", text) == []


def test_what_is_shipped_of_others_keeps_its_licence_and_version() -> None:
    """uPlot for the page, axe-core for the tests."""
    assert (
        "v1.6.32" in (STATIC / "vendor" / "uPlot.iife.min.js").read_text("utf-8")[:100]
    )
    assert "MIT License" in (STATIC / "vendor" / "uPlot.LICENSE").read_text("utf-8")
    assert (
        "axe v4.14.1"
        in (PROJECT / "tests" / "vendor" / "axe.min.js").read_text("utf-8")[:200]
    )
    assert "Mozilla Public License" in (
        PROJECT / "tests" / "vendor" / "axe-core.LICENSE"
    ).read_text("utf-8")
