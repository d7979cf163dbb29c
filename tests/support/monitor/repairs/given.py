"""The repairs of the case file, which an earlier guard refused."""

from tests.support.monitor.repairs.kinds import Hunk, Repair, Told, holding, importing

_KNOWN = """\
            taken = self.ledger.hashes.take(file.id, digest, name_keys(work.metadata))
            if isinstance(taken, Known):
"""
_TAKE = _KNOWN.splitlines(keepends=True)[0]
_LEARN = """\
        return self.ledger.hashes.learn_one(proof)
"""
_IDENTIFY = """\
        digest = self.transport.identify(file, watch)
        work.digests[file.id] = digest
        return digest
"""
_COUNT = """\
        known = len(self.ledger.hashes)
        new, self.hashes_seen = known - self.hashes_seen, known
"""
_LISTED = """\
        files = [(file, self.excluded(file)) for file in listed]
"""
_BEGIN = """\
            self.ledger.files.begin(file.id)
"""
_FILENAME = """\
        return sanitize.sanitize_filename(name)
"""
_SHOWN = """\
        started = self.clock()
        self.refuse_unsendable(file)
"""

REPAIRS = (
    Repair(
        "a lock is taken twice",
        "refresh_existing_hashes",
        (
            importing("threading"),
            holding("self.order = threading.Lock()"),
            Hunk(
                _COUNT,
                """\
        with self.order:
            with self.order:
                known = len(self.ledger.hashes)
            new, self.hashes_seen = known - self.hashes_seen, known
""",
                """\
        known = self.ledger.hashes.count()
        with self.order:
            new, self.hashes_seen = known - self.hashes_seen, known
""",
            ),
        ),
    ),
    Repair(
        "a queue is joined that nobody empties",
        "hand_out",
        (
            importing("queue"),
            holding("self.handed = queue.Queue()"),
            Hunk(
                "        self.pool.queue.load(self.lane.carry(works))\n",
                """\
        for work in works:
            self.handed.put(work)
        self.handed.join()
        self.pool.queue.load(self.lane.carry(works))
""",
                """\
        for work in works:
            self.handed.put(work)
        while not self.handed.empty():
            self.handed.get()
            self.handed.task_done()
        self.handed.join()
        self.pool.queue.load(self.lane.carry(works))
""",
            ),
        ),
    ),
    Repair(
        "a HEAD without a time-out",
        "upload_file",
        (
            importing("requests"),
            Hunk(
                _SHOWN,
                """\
        started = self.clock()
        requests.head(self.session.server)
        self.refuse_unsendable(file)
""",
                """\
        started = self.clock()
        try:
            requests.head(self.session.server, timeout=10)
        except requests.RequestException as error:
            raise ServerFault(f"no answer to HEAD: {error}") from error
        self.refuse_unsendable(file)
""",
            ),
        ),
    ),
    Repair(
        "a generator keeps a transaction open",
        "read_range",
        (
            Hunk(
                _LISTED,
                """\
        ids = (file.id.book_id for file in listed)
        rows = (self.library.read_books(book, book, {book}) for book in ids)
        first = next(rows, None)
        self.log.debug("first: %s", first)
        files = [(file, self.excluded(file)) for file in listed]
""",
                """\
        ids = (file.id.book_id for file in listed)
        rows = (self.library.read_books(book, book, {book}) for book in ids)
        try:
            first = next(rows, None)
        finally:
            rows.close()
        self.log.debug("first: %s", first)
        files = [(file, self.excluded(file)) for file in listed]
""",
            ),
        ),
    ),
    Repair(
        "a pipe is read",
        "upload_file",
        (
            Hunk(
                _SHOWN,
                """\
        started = self.clock()
        path = self.library.root / os.fsdecode(file.path)
        size = len(path.read_bytes())
        self.log.debug("%s has %d bytes", file.id, size)
        self.refuse_unsendable(file)
""",
                """\
        started = self.clock()
        path = self.library.root / os.fsdecode(file.path)
        size = path.stat().st_size if path.is_file() else 0
        self.log.debug("%s has %d bytes", file.id, size)
        self.refuse_unsendable(file)
""",
            ),
        ),
    ),
    Repair(
        "whatever is taken counts as known",
        "upload_file",
        (Hunk(_KNOWN, f"{_TAKE}            if taken:\n", _KNOWN),),
    ),
    Repair(
        "None in a field",
        "works",
        (
            Hunk(
                "                metadata = self.range_books.metadata("
                "book, self.vocabulary)\n",
                """\
                whole = book.series_index == int(book.series_index)
                self.log.debug("%s: %s", book.id, whole)
                metadata = self.range_books.metadata(book, self.vocabulary)
""",
                """\
                try:
                    whole = book.series_index == int(book.series_index)
                except TypeError:
                    whole = False
                self.log.debug("%s: %s", book.id, whole)
                metadata = self.range_books.metadata(book, self.vocabulary)
""",
            ),
        ),
    ),
    Repair(
        "a title that cannot be encoded",
        "process_file",
        (
            Hunk(
                _BEGIN,
                """\
            self.log.debug("%s", work.book.title.encode("ascii"))
            self.ledger.files.begin(file.id)
""",
                """\
            try:
                shown = work.book.title.encode("ascii")
            except UnicodeEncodeError:
                shown = work.book.title.encode("ascii", "replace")
            self.log.debug("%s", shown)
            self.ledger.files.begin(file.id)
""",
            ),
        ),
    ),
    Repair(
        "a name that cannot be decoded",
        "process_file",
        (
            Hunk(
                _BEGIN,
                """\
            self.log.debug("%s", file.path.decode())
            self.ledger.files.begin(file.id)
""",
                """\
            try:
                shown = file.path.decode()
            except UnicodeDecodeError:
                shown = file.path.decode("utf-8", "replace")
            self.log.debug("%s", shown)
            self.ledger.files.begin(file.id)
""",
            ),
        ),
    ),
    Repair(
        "a rate divided by no seconds",
        "upload_file",
        (
            Hunk(
                "            if seconds > SLOW_UPLOAD_SECONDS:\n",
                """\
            self.log.debug("%s: %.0f", file.id, file.size / seconds)
            if seconds > SLOW_UPLOAD_SECONDS:
""",
                """\
            try:
                rate = file.size / seconds
            except ZeroDivisionError:
                rate = 0.0
            self.log.debug("%s: %.0f bytes/s", file.id, rate)
            if seconds > SLOW_UPLOAD_SECONDS:
""",
            ),
        ),
    ),
    Repair(
        "a leak of descriptors",
        "identify",
        (
            Hunk(
                _IDENTIFY,
                """\
        fd = os.open(self.library.root / os.fsdecode(file.path), os.O_RDONLY)
        digest = self.transport.identify(file, watch)
        work.digests[file.id] = digest
        return digest
""",
                """\
        fd = os.open(self.library.root / os.fsdecode(file.path), os.O_RDONLY)
        try:
            digest = self.transport.identify(file, watch)
        finally:
            os.close(fd)
        work.digests[file.id] = digest
        return digest
""",
            ),
        ),
    ),
    Repair(
        "a dict that grows",
        "identify",
        (
            holding("self.watched = {}"),
            Hunk(
                _IDENTIFY,
                """\
        self.watched[file.id] = watch
        digest = self.transport.identify(file, watch)
        work.digests[file.id] = digest
        return digest
""",
                """\
        if len(self.watched) > 100:
            self.watched.clear()
        self.watched[file.id] = watch
        digest = self.transport.identify(file, watch)
        self.watched.pop(file.id, None)
        work.digests[file.id] = digest
        return digest
""",
            ),
        ),
    ),
    Repair(
        "an answer that echoes the source as it was shown",
        "update_existing_hashes",
        (
            Hunk(
                _LEARN,
                """\
        while True:
            self.ledger.hashes.learn_one(proof)
""",
                _LEARN,
            ),
        ),
        Told.ECHOED,
    ),
    Repair(
        "a block that explains and a block with the code",
        "sanitize_filename",
        (
            Hunk(
                _FILENAME,
                """\
        while not name.endswith("."):
            name = name.strip()
        return sanitize.sanitize_filename(name)
""",
                _FILENAME,
            ),
        ),
        Told.EXPLAINED,
    ),
)
