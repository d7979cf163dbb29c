"""Fixtures of the buttons."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.machine.checkoutkit import make_checkout, press


@pytest.fixture
def clone(tmp_path: Path) -> Iterator[Path]:
    """A checkout in a folder with a blank; whatever its buttons started is ended."""
    folder = make_checkout(tmp_path / "a clone")
    yield folder
    press(folder, "./stop.sh", "--all")
