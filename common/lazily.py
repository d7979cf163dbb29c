"""Libraries that few runs of a program need, imported on first use."""

import importlib
from typing import TYPE_CHECKING, Any

__all__ = ["jinja2", "nh3", "pycountry", "tenacity"]

if TYPE_CHECKING:
    import jinja2
    import nh3
    import pycountry
    import tenacity
else:

    class _Module:
        """Stands for a module and imports it when an attribute is used.

        `importlib.util.LazyLoader` is not safe with threads before Python 3.12.
        """

        def __init__(self, name: str) -> None:
            self._name = name

        def __getattr__(self, name: str) -> Any:
            return getattr(importlib.import_module(self._name), name)

    # For HTML pages, which the embedded server shows only to people.
    jinja2 = _Module("jinja2")
    # For HTML that came with books.
    nh3 = _Module("nh3")
    pycountry = _Module("pycountry")
    # Imports asyncio, and tornado where that is installed.
    tenacity = _Module("tenacity")
