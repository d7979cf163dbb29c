"""Which folders the server's ebooks have, without a scan of its tables for each batch.

Neither `ebook` nor `source` has an index on its paths. But whoever chooses a folder makes
it, and cannot where one is: what has to be asked for is an ebook whose folder is not
there yet. Those are found by one scan now and then, and new ones by their ids.
"""

from collections import deque
from collections.abc import Collection

from migration.server.direct.connection import DatabaseSession

#: Questions after which the tables are scanned again.
QUESTIONS = 500
#: Ids are given out before their transactions commit, so those below the highest seen
#: are looked at again: so many, and from so many questions ago.
OVERLAP, LOOKS = 1_000, 20

_LIMITS = """
    SELECT set_config('work_mem', '64MB', true),
        set_config('statement_timeout', '10min', true)
"""
_HIGHEST = "SELECT coalesce(max(id), 0) FROM public.ebook"
#: Ebooks none of whose files is in their folder.
_EMPTY = """
    SELECT e.base_dir FROM public.ebook e WHERE NOT EXISTS (
        SELECT 1 FROM public.source s
        WHERE left(s.location, length(s.location) - strpos(reverse(s.location), '/'))
            = e.base_dir
    )
"""
_NEW = "SELECT base_dir FROM public.ebook WHERE id > %s AND base_dir = ANY(%s)"


class Folders:
    """The folders of one server. Not thread-safe."""

    def __init__(self) -> None:
        """Reads nothing yet."""
        self._empty = frozenset[str]()
        self._highest = deque[int](maxlen=LOOKS)
        self._left = 0

    def taken(
        self, session: DatabaseSession, folders: Collection[str]
    ) -> frozenset[str]:
        """Returns those of these folders that an ebook has whose files are not there."""
        if not self._left:
            self._scan(session)
            self._left = QUESTIONS
        self._left -= 1
        after = self._highest[0] - OVERLAP
        self._highest.append(session.rows(_HIGHEST)[0][0])
        new = session.rows(_NEW, (after, list(folders)))
        return self._empty.intersection(folders) | {row[0] for row in new}

    def _scan(self, session: DatabaseSession) -> None:
        with session.transaction() as db:
            db.execute(_LIMITS)
            highest = db.execute(_HIGHEST).fetchone()
            assert highest is not None
            self._empty = frozenset(row[0] for row in db.execute(_EMPTY))
        self._highest.clear()
        self._highest.append(highest[0])
