"""A headless Chromium of its own for each test, and what is asked of a page."""

import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from selenium.webdriver import Chrome, ChromeOptions
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.support.ui import WebDriverWait

from tests.support.environment import PROJECT, needs

AXE = PROJECT / "tests" / "vendor" / "axe.min.js"
WIDE, PHONE = (1280, 900), (390, 844)
#: Seconds to wait for anything; a loaded machine takes its time.
PATIENCE = 60


@contextmanager
def browser(size: tuple[int, int] = WIDE, *, dark: bool = False) -> Iterator[Chrome]:
    """A fresh browser that is closed at the end."""
    needs("chromium")
    needs("chromedriver")
    with tempfile.TemporaryDirectory(
        prefix="chromium-", ignore_cleanup_errors=True
    ) as profile:
        options = ChromeOptions()
        options.binary_location = "/usr/bin/chromium"
        for flag in (
            "headless=new",
            "no-sandbox",
            "disable-gpu",
            "disable-quic",
            "no-first-run",
            "disable-dev-shm-usage",
            "disable-background-networking",
            "disable-component-update",
            "disable-sync",
            "hide-scrollbars",
            "force-device-scale-factor=1",
            f"user-data-dir={profile}",
            f"window-size={size[0]},{size[1]}",
        ):
            options.add_argument(f"--{flag}")
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        environment = {
            key: value
            for key, value in os.environ.items()
            if not key.lower().endswith("_proxy")
        }
        chrome = Chrome(options, Service("/usr/bin/chromedriver", env=environment))
        try:
            chrome.set_page_load_timeout(PATIENCE)
            resize(chrome, size)
            colours(chrome, dark=dark)
            yield chrome
        finally:
            chrome.quit()


def resize(chrome: Chrome, size: tuple[int, int]) -> None:
    """The page's own width and height, below what a window may be."""
    metrics = {
        "width": size[0],
        "height": size[1],
        "deviceScaleFactor": 1,
        "mobile": size[0] < 600,
    }
    chrome.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)


def colours(chrome: Chrome, *, dark: bool) -> None:
    """What the person prefers: dark or light, and nothing that moves."""
    features = [
        {"name": "prefers-color-scheme", "value": "dark" if dark else "light"},
        {"name": "prefers-reduced-motion", "value": "reduce"},
    ]
    chrome.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": features})


def wait(chrome: Chrome, condition: Callable[[Chrome], Any]) -> Any:
    """Until it is true."""
    return WebDriverWait(chrome, PATIENCE, poll_frequency=0.1).until(condition)


def text_of(chrome: Chrome, selector: str) -> str:
    """What a part of the page says; "" when it is not there."""
    return str(
        chrome.execute_script(
            "return document.querySelector(arguments[0])?.innerText ?? ''", selector
        )
    )


def violations(chrome: Chrome) -> list[str]:
    """What axe-core finds that is serious or critical, in words."""
    chrome.execute_script(AXE.read_text("utf-8"))
    found = chrome.execute_async_script(
        "const done = arguments[arguments.length - 1];"
        "const rules = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'];"
        "axe.run({runOnly: rules}).then(result => done(result.violations))"
    )
    return [
        (
            f"{one['id']} ({one['impact']}): {one['help']}: "
            f"{[node['html'][:120] for node in one['nodes'][:3]]}"
        )
        for one in found
        if one["impact"] in ("serious", "critical")
    ]


def troubles(chrome: Chrome) -> list[str]:
    """What the browser complained of: scripts that failed, a policy that was broken."""
    return [
        str(entry["message"])
        # Selenium has no types for it.
        for entry in chrome.get_log("browser")  # type: ignore[no-untyped-call]
        if entry["level"] == "SEVERE"
    ]


def screenshot(chrome: Chrome, path: Path, *, whole: bool = True) -> None:
    """A picture of the page, all of it unless told otherwise."""
    if whole:
        height = int(
            str(chrome.execute_script("return document.documentElement.scrollHeight"))
        )
        width = int(str(chrome.execute_script("return innerWidth")))
        resize(chrome, (width, height))
    path.parent.mkdir(parents=True, exist_ok=True)
    chrome.save_screenshot(str(path))
