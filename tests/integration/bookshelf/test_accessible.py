"""The embedded server's pages in a real headless Chromium, with axe-core."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from selenium.webdriver import Chrome
from selenium.webdriver.common.by import By

from tests.support.environment import end
from tests.support.servers.browserkit import (
    PHONE,
    WIDE,
    browser,
    colours,
    resize,
    troubles,
    violations,
    wait,
)
from tests.support.servers.shelf import Shelf, start_shelf
from tests.support.servers.shelfkit import client

# Chromium ends what it loads when a network comes or goes, as containers make them.
pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("networks")]


@pytest.fixture(scope="module")
def shelf(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Shelf, list[str]]]:
    """A server with one book that has everything, and the paths of its pages."""
    started = start_shelf(tmp_path_factory.mktemp("accessible"))
    server = client(started)
    ebook_id = server.ebook(
        title="The Raven",
        authors=[{"last_name": "Poe", "first_name": "Edgar"}],
        series={"title": "Birds"},
        series_index=0,
        genres=[{"id": server.genre_id("Poetry")}],
    )
    fields = {
        "comments": "<p>Once upon a midnight<ul><li>dreary<li>weak</ul>",
        "identifiers": {"isbn": "9780140447934"},
        "series_index": 0.5,
        "sort": "Raven, The",
    }
    server.call("PUT", f"/api/ebooks/{ebook_id}/calibre", fields)
    server.call("POST", f"/api/ebooks/{ebook_id}/rate", {"rating": 90})
    made = {"name": "Read", "description": "From Calibre"}
    shelf_id = server.call("POST", "/api/bookshelves/mine", made).json()["id"]
    add = {"ebook": {"id": ebook_id}, "note": "A note\n\nof two paragraphs"}
    server.call("POST", f"/api/bookshelves/{shelf_id}/add", add)
    ebook = server.call("GET", f"/api/ebooks/{ebook_id}").json()
    server.http.close()
    yield (
        started,
        [
            "/",
            f"/book/{ebook_id}",
            f"/author/{ebook['authors'][0]['id']}",
            f"/series/{ebook['series']['id']}",
            "/shelves",
            f"/shelf/{shelf_id}",
        ],
    )
    end(started.process)


@pytest.fixture(scope="module")
def chrome(shelf: tuple[Shelf, list[str]]) -> Iterator[Chrome]:
    """A browser that is logged in."""
    started, _paths = shelf
    with browser() as made:
        made.get(f"{started.url}/login")
        made.find_element(By.NAME, "username").send_keys(started.username)
        made.find_element(By.NAME, "password").send_keys(started.password)
        made.find_element(By.CSS_SELECTOR, ".login button").click()
        wait(made, lambda page: page.find_elements(By.CSS_SELECTOR, ".search"))
        troubles(made)
        yield made


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", [WIDE, PHONE], ids=["wide", "phone"])
def test_every_page_is_accessible_and_fits(
    shelf: tuple[Shelf, list[str]],
    chrome: Chrome,
    size: tuple[int, int],
    dark: bool,
) -> None:
    """Nothing serious for axe-core, nothing broken, nothing to scroll sideways."""
    started, paths = shelf
    resize(chrome, size)
    colours(chrome, dark=dark)
    for path in paths:
        chrome.get(started.url + path)
        wide = chrome.execute_script(
            "return document.documentElement.scrollWidth > innerWidth"
        )
        assert (path, violations(chrome), wide, troubles(chrome)) == (
            path,
            [],
            False,
            [],
        )


def test_pictures_of_the_pages(
    shelf: tuple[Shelf, list[str]], chrome: Chrome, tmp_path: Path
) -> None:
    """They are drawn: the book's comments and its shelf are to be seen."""
    started, paths = shelf
    chrome.get(started.url + paths[1])
    shown = chrome.find_element(By.TAG_NAME, "main").text
    for text in ("Once upon a midnight", "• dreary", "9780140447934", "#0.5", "Read"):
        assert text in shown
    chrome.save_screenshot(str(tmp_path / "book.png"))
