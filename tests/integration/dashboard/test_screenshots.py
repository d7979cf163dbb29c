"""The pictures in the README: the demo library on its way, with a worker that froze, as
a person would see it.

Made in every run and looked at for size and content; put in place with
UPDATE_SCREENSHOTS=1."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image
from selenium.webdriver import Chrome

from migration.ledger import totals
from tests.support.environment import PROJECT, end
from tests.support.migration.workerkit import wait_for
from tests.support.monitor.watchkit import Watch
from tests.support.servers.boardkit import start_board
from tests.support.servers.browserkit import (
    PHONE,
    browser,
    colours,
    resize,
    screenshot,
    text_of,
    troubles,
    wait,
)
from tests.support.servers.shelf import Shelf

# Chromium ends what it loads when a network comes or goes, as containers make them.
pytestmark = [pytest.mark.integration, pytest.mark.xdist_group("networks")]
IMAGES = PROJECT / "docs" / "images"
MOST_BYTES = 100_000


@pytest.mark.slow
def test_pictures_of_a_real_migration(
    tmp_path: Path, shelves: Callable[..., Shelf]
) -> None:
    """Under way on a desk, at its end with the repair open, and on a phone at night."""
    watch = Watch(tmp_path, shelves(tmp_path / "shelf", "--delay-ms", "500"))
    shutil.rmtree(watch.library.root)
    shutil.copytree(PROJECT / "demo" / "library", watch.library.root)
    watch.more |= {
        "PARALLEL_UPLOADS": "2",
        "TASK_SECONDS": "30",
        "RECONCILE_AFTER_SECONDS": "3",
        "SUCCESS_VERIFICATION_SECONDS": "9",
        # A start asks the server a dozen times, and each answer takes half a second.
        "DISCOVERY_THRESHOLD_SECONDS": "30",
    }
    watch.open_pass()
    board = start_board(watch.state)
    monitor = watch.start("--workers", "3")
    try:
        with browser((1200, 1010)) as chrome:
            chrome.get(board.link())
            watch.worker(2).send_signal(signal.SIGSTOP)
            ledger = watch.state / "migration_ledger.db"
            wait_for(
                lambda: (
                    (found := totals.read(ledger)) is not None and settled(found) >= 30
                )
            )
            wait(
                chrome,
                lambda page: (
                    page.execute_script(
                        "return document.querySelectorAll('canvas').length"
                    )
                    >= 3
                ),
            )
            desk = take(chrome, tmp_path / "dashboard.png", whole=False)
            wait_for(lambda: bool(watch.history()))
            wait_for(lambda: monitor.poll() is not None, seconds=120)
            wait(chrome, lambda page: text_of(page, "#state") == "Finished")
            wait(
                chrome,
                lambda page: (
                    page.execute_script(
                        "return document.querySelectorAll('details').length"
                    )
                    >= 1
                ),
            )
            chrome.execute_script("document.querySelector('details').open = true")
            wait(
                chrome,
                lambda page: (
                    "Root cause"
                    in str(
                        page.execute_script(
                            "return document.querySelector('details').textContent"
                        )
                    )
                ),
            )
            resize(chrome, (1200, 620))
            chrome.execute_script("document.getElementById('history').scrollIntoView()")
            repairs = take(chrome, tmp_path / "repairs.png", whole=False)
            colours(chrome, dark=True)
            resize(chrome, PHONE)
            chrome.execute_script("scrollTo(0, 0)")
            wait(
                chrome,
                lambda page: (
                    page.execute_script(
                        "return document.querySelectorAll('canvas').length"
                    )
                    >= 3
                ),
            )
            phone = take(chrome, tmp_path / "phone.png", whole=False)
            assert troubles(chrome) == []
        assert monitor.returncode == 0
    finally:
        end(board.process)
        end(monitor)
    for picture in (desk, repairs, phone):
        assert picture.stat().st_size < MOST_BYTES, picture
        with Image.open(picture) as image:
            colours_seen = image.convert("RGB").getcolors(2**24)
        assert colours_seen is not None
        assert len(colours_seen) > 30, "an empty page"
        if os.environ.get("UPDATE_SCREENSHOTS"):
            IMAGES.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(picture, IMAGES / picture.name)
        assert (IMAGES / picture.name).is_file(), (
            "UPDATE_SCREENSHOTS=1 puts the pictures in place"
        )


def settled(found: totals.Totals) -> int:
    """Files with an outcome."""
    return found.counts.discovered - found.counts.pending


def take(chrome: Chrome, path: Path, *, whole: bool) -> Path:
    """A picture with few colours, which makes it small."""
    screenshot(chrome, path, whole=whole)
    with Image.open(path) as image:
        small = image.convert("RGB").quantize(128, dither=Image.Dither.NONE)
    small.save(path, optimize=True)
    return path
