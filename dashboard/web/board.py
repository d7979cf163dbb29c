"""The parts of a running dashboard, for its handlers."""

import hashlib
from dataclasses import dataclass

from aiohttp import web

from dashboard.config import DashboardConfig
from dashboard.reading.state_reader import StateReader
from dashboard.web.access import Access
from dashboard.web.stream import SnapshotStream


@dataclass(frozen=True, slots=True)
class Board:
    """The parts of a running dashboard."""

    config: DashboardConfig
    access: Access
    reader: StateReader
    stream: SnapshotStream


BOARD = web.AppKey("board", Board)


def cookie_name(request: web.Request) -> str:
    """Returns the cookie's name, unique to this dashboard.

    Cookies ignore ports: two dashboards on one machine must not share theirs.
    """
    folder = str(request.app[BOARD].config.folder)
    return f"migration-{hashlib.sha256(folder.encode()).hexdigest()[:8]}"
