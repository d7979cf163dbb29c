"""Libraries that few runs of a program need, loaded when something of them is used."""

import importlib
from typing import TYPE_CHECKING, Any

__all__ = ["jinja2", "pycountry", "tenacity"]

if TYPE_CHECKING:
    import jinja2
    import pycountry
    import tenacity
else:

    class _Module:
        """Stands for a module until then. `importlib.util.LazyLoader` is not safe with
        threads before Python 3.12."""

        def __init__(self, name: str) -> None:
            self._name = name

        def __getattr__(self, name: str) -> Any:
            return getattr(importlib.import_module(self._name), name)

    # For pages, which the embedded server shows to people only.
    jinja2 = _Module("jinja2")
    pycountry = _Module("pycountry")
    # It loads asyncio, and tornado where that is installed.
    tenacity = _Module("tenacity")
