"""Eight faults with which a worker's results are wrong.

Four carry a book otherwise than Calibre has it, which the audit sees; four are caught
by what the ledger knows.
"""

from benchmarks.faults.faultlist.model import Edit, Fault, Kind, Wrong

_METADATA = """\
                metadata = self.range_books.metadata(book, self.vocabulary)
"""

RESULTS = (
    Fault(
        "metadata by title",
        Kind.RESULT,
        put=(
            Edit(
                _METADATA,
                """\
                # Several formats of a book need not be worked out twice.
                if book.title not in self.made:
                    self.made[book.title] = self.range_books.metadata(
                        book, self.vocabulary
                    )
                metadata = self.made[book.title]
""",
            ),
            Edit(
                "        self.found = 0\n",
                "        self.found = 0\n        self.made: dict[str, object] = {}\n",
            ),
        ),
        cause="two books of one title share the metadata of the first",
        wrong=(
            Wrong(
                "adds the language to the key",
                Edit(
                    """\
                if book.title not in self.made:
                    self.made[book.title] = self.range_books.metadata(
                        book, self.vocabulary
                    )
                metadata = self.made[book.title]
""",
                    """\
                key = f"{book.title} {book.languages}"
                if key not in self.made:
                    self.made[key] = self.range_books.metadata(book, self.vocabulary)
                metadata = self.made[key]
""",
                ),
            ),
        ),
        only_here=True,
    ),
    Fault(
        "three authors are enough",
        Kind.RESULT,
        put=(
            Edit(
                _METADATA,
                """\
                book = replace(book, authors=book.authors[:3])
"""
                + _METADATA,
            ),
        ),
        cause="works cuts the authors of a book off after the third",
        wrong=(
            Wrong(
                "cuts later",
                Edit("authors=book.authors[:3])", "authors=book.authors[:4])"),
            ),
        ),
    ),
    Fault(
        "number nought of a series",
        Kind.RESULT,
        put=(
            Edit(
                _METADATA,
                """\
                if not book.series_index:
                    # A series without a number confuses the server.
                    book = replace(book, series=None)
"""
                + _METADATA,
            ),
        ),
        cause="series_index 0 is taken for no number, and the series is dropped",
        right=Edit(
            "                if not book.series_index:\n",
            "                if book.series_index is None:\n",
        ),
        wrong=(
            Wrong(
                "skips the book",
                Edit(
                    "                    book = replace(book, series=None)\n",
                    "                    continue\n",
                ),
            ),
        ),
        only_here=True,
    ),
    Fault(
        "no half stars",
        Kind.RESULT,
        put=(
            Edit(
                _METADATA,
                """\
                # Calibre's 0-10 are stars and half stars; whole ones are enough.
                if book.rating:
                    book = replace(book, rating=book.rating // 2 * 2)
"""
                + _METADATA,
            ),
        ),
        cause="half stars are cut off before the metadata is made",
        right=Edit(
            """\
                if book.rating:
                    book = replace(book, rating=book.rating // 2 * 2)
""",
            "",
        ),
        wrong=(
            Wrong(
                "rounds the other way",
                Edit(
                    "rating=book.rating // 2 * 2)", "rating=(book.rating + 1) // 2 * 2)"
                ),
            ),
        ),
    ),
    Fault(
        "plain text is not wanted",
        Kind.RESULT,
        put=(
            Edit(
                """\
            return "Calibre's original of a converted file"
""",
                """\
            return "Calibre's original of a converted file"
        if file.id.format in ("RTF", "TXT") and file.size < 1024:
            return "a preview, not a book"
""",
            ),
        ),
        cause="small text files are excluded although nobody asked for that",
        wrong=(
            Wrong(
                "excludes fewer",
                Edit(
                    """\
        if file.id.format in ("RTF", "TXT") and file.size < 1024:
""",
                    """\
        if file.id.format == "TXT" and file.size < 1024:
""",
                ),
            ),
        ),
        only_here=True,
    ),
    Fault(
        "equal size, equal file",
        Kind.RESULT,
        put=(
            Edit(
                """\
            if isinstance(taken, Known):
                return UploadResult(file.id, Outcome.DUPLICATE, taken)
""",
                """\
            if isinstance(taken, Known) or digest.size in self.sizes:
                return UploadResult(file.id, Outcome.DUPLICATE, Known(digest))
            self.sizes.add(digest.size)
""",
            ),
            Edit(
                "        self.found = 0\n",
                "        self.found = 0\n        self.sizes: set[int] = set()\n",
            ),
        ),
        cause="a file of a size that was sent before is taken for a duplicate",
        wrong=(
            Wrong(
                "compares the name too",
                Edit(
                    """\
            if isinstance(taken, Known) or digest.size in self.sizes:
""",
                    """\
            if isinstance(taken, Known) or (
                digest.size in self.sizes and file.id.format == "EPUB"
            ):
""",
                ),
            ),
        ),
    ),
    Fault(
        "small files count as empty",
        Kind.RESULT,
        put=(
            Edit(
                """\
        refuse_unsendable(file, self.options.max_content_length)
""",
                """\
        # In kilobytes, as MyBookshelf2 shows them.
        limit = self.options.max_content_length // 1024
        refuse_unsendable(replace(file, size=file.size // 1024), limit)
""",
            ),
        ),
        cause="a file below 1024 bytes has 0 kilobytes and is refused as empty",
        right=Edit(
            """\
        refuse_unsendable(replace(file, size=file.size // 1024), limit)
""",
            """\
        size = (file.size + 1023) // 1024
        refuse_unsendable(replace(file, size=size), limit)
""",
        ),
        wrong=(
            Wrong(
                "gives up early",
                Edit(
                    """\
        refuse_unsendable(replace(file, size=file.size // 1024), limit)
""",
                    """\
        if file.size < 1024:
            raise FileMoved(f"{file.id} is too small to be sent")
        refuse_unsendable(replace(file, size=file.size // 1024), limit)
""",
                ),
            ),
        ),
        only_here=True,
    ),
    Fault(
        "a batch is the limit",
        Kind.RESULT,
        put=(
            Edit(
                """\
        return bool(self.options.limit) and self.allowance([]) == 0
""",
                """\
        # A process that has sent a part of a batch makes room for the next one.
        sent = self.tracker.count(Outcome.UPLOADED)
        return sent >= (self.options.limit or self.options.batch_size // 5)
""",
            ),
        ),
        cause="without --limit a part of a batch is taken for the limit",
        wrong=(
            Wrong(
                "raises the limit",
                Edit(
                    "(self.options.limit or self.options.batch_size // 5)",
                    "(self.options.limit or self.options.batch_size // 4)",
                ),
            ),
        ),
    ),
)
