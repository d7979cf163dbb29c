"""Opens database and data directory for the process of the direct lane."""

import os
from collections.abc import Callable
from pathlib import Path

from migration.calibre.paths import Tree
from migration.lanes.api.shelving import DESCRIPTION
from migration.lanes.direct.host import Host
from migration.lanes.direct.messages import Opening
from migration.server.data_dir.data_dir import DataDirectory
from migration.server.direct.rows import Choice, ServerRows

#: Threads that place books: more would wait for the same disk.
MOST_THREADS = 8


def open_host(opening: Opening, moved: Callable[[int], None]) -> Host:
    """Opens both. Raises Misconfigured or Transient."""
    choice = Choice(
        opening.login,
        opening.owner,
        opening.library_uuid,
        opening.looked,
        opening.public_shelves,
        DESCRIPTION,
    )
    rows = ServerRows.of(opening.uri, choice)
    tree = Tree(Path(opening.library))
    data_dir = DataDirectory(
        opening.layout.places,
        tree.open,
        naming=opening.layout.naming,
        drawing=opening.layout.drawing,
        threads=min(MOST_THREADS, 2 * (os.cpu_count() or 1)),
    )
    return Host(rows, data_dir, moved)
