"""What raises: None, indexes, keys, types, numbers, texts."""

from tests.support.monitor.repairs.kinds import Hunk, Repair, holding, importing

_BEGIN = "            self.ledger.files.begin(file.id)\n"
_METADATA = (
    "                metadata = self.range_books.metadata(book, self.vocabulary)\n"
)
_FILES = "        files = [(file, self.excluded(file)) for file in listed]\n"
_HELD = "        for number, owned in list(self.held.items()):\n"
_HANDED = "        self.pool.queue.load(self.lane.carry(works))\n"
_PENDING = (
    '        self.log.warning("Book %s is pending: %s", work.book.id, told(error))\n'
)
_ORIGINAL = '        if file.id.format.startswith("ORIGINAL_"):\n'
_STARTED = """\
        started = self.clock()
        self.refuse_unsendable(file)
"""
_SLOW = "            if seconds > SLOW_UPLOAD_SECONDS:\n"
_MISSED = "            counted = self.missed.get(file.id) == file.path\n"
_LOST = (
    '        self.log.warning("Book %s: %s; it is tried again", work.book.id, lost)\n'
)

REPAIRS = (
    Repair(
        "a book without a series",
        "process_file",
        (
            Hunk(
                _BEGIN,
                '            self.log.debug("of %s", work.book.series.strip())\n'
                + _BEGIN,
                """\
            series = work.book.series
            if series is not None:
                self.log.debug("of %s", series.strip())
"""
                + _BEGIN,
            ),
        ),
    ),
    Repair(
        "a book without authors",
        "works",
        (
            Hunk(
                _METADATA,
                '                self.log.debug("by %s", book.authors[0].name)\n'
                + _METADATA,
                """\
                names = [author.name for author in book.authors] or ["unknown"]
                self.log.debug("by %s", ", ".join(names))
"""
                + _METADATA,
            ),
        ),
    ),
    Repair(
        "a format that no table has",
        "hand_out",
        (
            holding('self.order = {"EPUB": 0, "PDF": 1}'),
            Hunk(
                _HANDED,
                """\
        for work in works:
            work.files.sort(key=lambda file: self.order[file.id.format])
"""
                + _HANDED,
                """\
        last = len(self.order)
        for work in works:
            work.files.sort(key=lambda file: self.order.get(file.id.format, last))
"""
                + _HANDED,
            ),
        ),
    ),
    Repair(
        "the largest of no files",
        "read_range",
        (
            Hunk(
                _FILES,
                '        self.log.debug("%d", max(file.size for file in listed))\n'
                + _FILES,
                """\
        largest = max((file.size for file in listed), default=0)
        self.log.debug("the largest has %d bytes", largest)
"""
                + _FILES,
            ),
        ),
    ),
    Repair(
        "a number that is none",
        "works",
        (
            Hunk(
                _METADATA,
                '                pages = int(book.extras["#pages"])\n'
                '                self.log.debug("%d pages", pages)\n' + _METADATA,
                """\
                try:
                    pages = int(str(book.extras.get("#pages", 0)))
                except (ValueError, OverflowError) as wrong:
                    self.log.debug("pages of book %d: %s", book.id, wrong)
                    pages = 0
                self.log.debug("%d pages", pages)
"""
                + _METADATA,
            ),
        ),
    ),
    Repair(
        "a time with a zone and one without",
        "upload_file",
        (
            importing("datetime"),
            Hunk(
                _SLOW,
                """\
            late = datetime.datetime.now() - started
            self.log.debug("%s", late)
"""
                + _SLOW,
                """\
            late = datetime.timedelta(seconds=round(seconds, 1))
            self.log.debug("%s", late)
"""
                + _SLOW,
            ),
        ),
    ),
    Repair(
        "a share of nothing found",
        "hand_out",
        (
            Hunk(
                _HANDED,
                '        self.log.info("%d %%", 100 * len(works) // self.found)\n'
                + _HANDED,
                """\
        share = 100 * len(works) // self.found if self.found else 0
        self.log.info("handing out %d %% / %d books", share, len(works))
"""
                + _HANDED,
            ),
        ),
    ),
    Repair(
        "a name without the part that is looked for",
        "excluded",
        (
            Hunk(
                _ORIGINAL,
                """\
        kind, of = file.id.format.split("_")
        if kind == "ORIGINAL" and of:
""",
                """\
        kind, _, of = file.id.format.partition("_")
        if kind.upper() == "ORIGINAL" and of:
""",
            ),
        ),
    ),
    Repair(
        "a dict that changes under its loop",
        "close_ranges",
        (
            Hunk(
                _HELD,
                "        for number, owned in self.held.items():\n",
                """\
        for number in sorted(self.held):
            owned = self.held[number]
""",
            ),
        ),
    ),
    Repair(
        "columns nested too deep for recursion",
        "works",
        (
            Hunk(
                _METADATA,
                """\
                def depth(value: object) -> int:
                    return 1 + depth(value)

                self.log.debug("%d", depth(book.extras))
"""
                + _METADATA,
                """\
                def values(value: object) -> int:
                    found, stack = 0, [value]
                    while stack:
                        match stack.pop():
                            case dict() as inner:
                                stack.extend(inner.values())
                            case list() | tuple() as inner:
                                stack.extend(inner)
                            case _:
                                found += 1
                    return found

                self.log.debug("%d values", values(book.extras))
"""
                + _METADATA,
            ),
        ),
    ),
    Repair(
        "a text and a number are added",
        "trouble",
        (
            Hunk(
                _PENDING,
                '        self.log.warning("Book " + work.book.id + " is pending")\n',
                """\
        self.log.warning(f"Book {work.book.id:d} is pending: {told(error)!s}")
""",
            ),
        ),
    ),
    Repair(
        "a name is used before it has a value",
        "process_file",
        (
            Hunk(
                _MISSED,
                """\
            if file.id in self.missed:
                counted = self.missed[file.id] == file.path
""",
                """\
            counted = False
            with_path = self.missed.setdefault(file.id, b"")
            if with_path:
                counted = with_path.rstrip(b"/") == file.path.rstrip(b"/")
""",
            ),
        ),
    ),
    Repair(
        "an attribute that an error lacks",
        "machine_lost",
        (
            Hunk(
                _LOST,
                '        self.log.warning("%s: %s", lost.errno, lost.strerror)\n',
                """\
        why = str(lost).strip() or repr(lost)
        self.log.warning("Book %s: %s; it is tried again", work.book.id, why[:200])
""",
            ),
        ),
    ),
    Repair(
        "an assertion about sizes",
        "upload_file",
        (
            Hunk(
                _STARTED,
                """\
        started = self.clock()
        assert file.size < 2**20
        self.refuse_unsendable(file)
""",
                """\
        started = self.clock()
        if not 0 <= file.size < 2**31:
            self.log.info("%s is unusually large: %.1f MiB", file.id, file.size / 2**20)
        self.refuse_unsendable(file)
""",
            ),
        ),
    ),
)
