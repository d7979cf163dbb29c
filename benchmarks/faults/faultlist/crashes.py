"""Twelve faults with which a worker crashes, leaks, fails at everything, or works on
without end."""

from benchmarks.faults.faultlist.model import Edit, Fault, Kind, Wrong

_BOOKS = """\
        works: list[Work] = []
        for book in [
"""

CRASHES = (
    Fault(
        "seconds by no file",
        Kind.CRASH,
        put=(
            Edit(
                "        self.last_hash_refresh, self.processed_at_refresh = (\n",
                """\
        since = (self.clock() - self.last_hash_refresh).total_seconds()
        files = self.tracker.processed - self.processed_at_refresh
        self.log.debug("A file took %.2f s", since / files)
        self.last_hash_refresh, self.processed_at_refresh = (
""",
            ),
        ),
        cause="at the first refresh no file is settled: division by zero",
        right=Edit("since / files)", "since / max(1, files))"),
        wrong=(
            Wrong(
                "catches another error",
                Edit(
                    """\
        self.log.debug("A file took %.2f s", since / files)
""",
                    """\
        try:
            self.log.debug("A file took %.2f s", since / files)
        except ValueError:
            self.log.debug("No file yet")
""",
                ),
            ),
        ),
    ),
    Fault(
        "sorted by a series that is None",
        Kind.CRASH,
        put=(
            Edit(
                _BOOKS,
                """\
        # A series is made once: its books come one after the other.
        books = sorted(books, key=lambda book: (book.series, book.series_index))
"""
                + _BOOKS,
            ),
        ),
        cause="books without a series cannot be compared: None and str",
        right=Edit(
            "key=lambda book: (book.series, book.series_index))",
            'key=lambda book: (book.series or "", book.series_index or 0.0))',
        ),
        wrong=(
            Wrong(
                "skips books without a series",
                Edit(
                    "        books = sorted(books, key=",
                    "        books = [book for book in books if book.series]\n"
                    "        books = sorted(books, key=",
                ),
            ),
        ),
    ),
    Fault(
        "sorted by an author it has not",
        Kind.CRASH,
        put=(
            Edit(
                _BOOKS,
                """\
        books = sorted(books, key=lambda book: book.authors[0].name)
"""
                + _BOOKS,
            ),
        ),
        cause="a book without authors: list index out of range",
        right=Edit(
            "key=lambda book: book.authors[0].name)",
            'key=lambda book: book.authors[0].name if book.authors else "")',
        ),
        wrong=(
            Wrong(
                "skips the book",
                Edit(
                    "sorted(books, key=lambda book: book.authors[0].name)",
                    "sorted(\n            [book for book in books if book.authors],\n"
                    "            key=lambda book: book.authors[0].name,\n        )",
                ),
            ),
            Wrong(
                "swallows the error",
                Edit(
                    """\
        books = sorted(books, key=lambda book: book.authors[0].name)
""",
                    """\
        try:
            books = sorted(books, key=lambda book: book.authors[0].name)
        except IndexError:
            return []
""",
                ),
            ),
        ),
        only_here=True,
    ),
    Fault(
        "a path that is not ASCII",
        Kind.CRASH,
        put=(
            Edit(
                "            file.id, self.sanitize_filename(os.fsdecode(file.path)), "
                "file.size\n",
                '            file.id, self.sanitize_filename(file.path.decode("ascii")), '
                "file.size\n",
            ),
        ),
        cause="UnicodeDecodeError: the path has letters that are not ASCII",
        right=Edit('file.path.decode("ascii")', 'file.path.decode("utf-8", "replace")'),
        wrong=(
            Wrong(
                "marks as excluded",
                Edit(
                    """\
        if file.id.format.startswith("ORIGINAL_"):
""",
                    """\
        if not file.path.isascii():
            return "its path cannot be shown"
        if file.id.format.startswith("ORIGINAL_"):
""",
                ),
            ),
            Wrong("restarts only"),
        ),
        only_here=True,
    ),
    Fault(
        "whatever is taken is known",
        Kind.CRASH,
        put=(
            Edit(
                "            if isinstance(taken, Known):\n",
                "            if taken:\n",
            ),
        ),
        cause="take() returns Taken for a new file, which is no proof of a duplicate",
        wrong=(
            Wrong(
                "asks for something else",
                Edit(
                    "            if taken:\n",
                    "            if taken and self.hashes_seen:\n",
                ),
            ),
            Wrong(
                "swallows the error",
                Edit(
                    """\
            return self.send_with_retries(work, file)
""",
                    """\
            try:
                return self.send_with_retries(work, file)
            except ValueError as error:
                raise FileMoved(str(error)) from error
""",
                ),
            ),
        ),
    ),
    Fault(
        "each asks the other",
        Kind.CRASH,
        put=(
            Edit(
                """\
        self.tracker.set(
            status=Phase.MIGRATING if self.tracker.processed else Phase.DISCOVERING
        )
""",
                """\
        if self.pool.queue.active():
            self.show_waiting()
            return
        self.tracker.set(
            status=Phase.MIGRATING if self.tracker.processed else Phase.DISCOVERING
        )
""",
            ),
        ),
        cause="at_work and show_waiting call each other without end",
        wrong=(
            Wrong(
                "asks for something else",
                Edit(
                    "        if self.pool.queue.active():\n",
                    "        if len(self.pool.queue.active()) > 1:\n",
                ),
            ),
        ),
    ),
    Fault(
        "descriptors are left open",
        Kind.LEAK,
        put=(
            Edit(
                """\
        refuse_unsendable(file, self.options.max_content_length)
""",
                """\
        path = os.path.join(os.fsencode(self.options.library), file.path)
        descriptor = os.open(path, os.O_RDONLY)
        if not os.read(descriptor, 1):
            self.log.warning("%s is empty", file.id)
        refuse_unsendable(file, self.options.max_content_length)
""",
            ),
        ),
        cause="refuse_unsendable opens each file and does not close it",
        right=Edit(
            """\
        descriptor = os.open(path, os.O_RDONLY)
        if not os.read(descriptor, 1):
            self.log.warning("%s is empty", file.id)
""",
            """\
        descriptor = os.open(path, os.O_RDONLY)
        try:
            if not os.read(descriptor, 1):
                self.log.warning("%s is empty", file.id)
        finally:
            os.close(descriptor)
""",
        ),
        wrong=(
            Wrong("restarts only"),
            Wrong(
                "reads more",
                Edit(
                    "        if not os.read(descriptor, 1):\n",
                    "        if not os.read(descriptor, 4096):\n",
                ),
            ),
        ),
        descriptors=56,
        more_books=250,
    ),
    Fault(
        "a table per file is kept",
        Kind.LEAK,
        put=(
            Edit(
                "            if isinstance(taken, Known):\n",
                """\
            # Sizes in blocks of 64 bytes, for a chart some day.
            chart = [0] * (self.options.max_content_length // 64)
            chart[digest.size // 64] += 1
            self.charts.append(chart)
            if isinstance(taken, Known):
""",
            ),
            Edit(
                "        self.found = 0\n",
                "        self.found = 0\n        self.charts: list[list[int]] = []\n",
            ),
        ),
        cause="upload_file keeps a list of eight million numbers for each file",
        right=Edit("            self.charts.append(chart)\n", ""),
        wrong=(
            Wrong(
                "another size",
                Edit(
                    "(self.options.max_content_length // 64)\n",
                    "(self.options.max_content_length // 60)\n",
                ),
            ),
        ),
        memory=1_000_000_000,
    ),
    Fault(
        "a limit in megabytes",
        Kind.FAILING,
        put=(
            Edit(
                """\
        refuse_unsendable(file, self.options.max_content_length)
""",
                """\
        refuse_unsendable(file, self.options.max_content_length // 2**20)
""",
            ),
        ),
        cause="bytes are compared with megabytes, so every file is too big",
        wrong=(
            Wrong(
                "kilobytes instead",
                Edit("max_content_length // 2**20)", "max_content_length // 2**10)"),
            ),
        ),
    ),
    Fault(
        "a text that is never None",
        Kind.FAILING,
        put=(
            Edit(
                """\
        started = self.clock()
        self.refuse_unsendable(file)
""",
                """\
        started = self.clock()
        silent = self.session.silent()
        if silent is not None:
            raise ServerFault(f"{file.id} is not sent: the server is silent {silent}")
        self.refuse_unsendable(file)
""",
            ),
        ),
        cause="session.silent() is an empty text, never None, while the server answers",
        right=Edit("        if silent is not None:\n", "        if silent:\n"),
        wrong=(
            Wrong(
                "defers instead",
                Edit(
                    """\
            raise ServerFault(f"{file.id} is not sent: the server is silent {silent}")
""",
                    """\
            raise Deferred(f"{file.id} waits for the server {silent}", None)
""",
                ),
            ),
        ),
    ),
    Fault(
        "sent again until it is larger",
        Kind.ENDLESS,
        put=(
            Edit(
                "        return retrying(self.upload_file, work, file)\n",
                """\
        result = retrying(self.upload_file, work, file)
        # A copy that was cut off on its way is smaller.
        while result.proof.digest.size <= file.size:
            result = retrying(self.upload_file, work, file)
        return result
""",
            ),
        ),
        cause="a copy that is complete has the same size, and is sent again for ever",
        right=Edit(
            "        while result.proof.digest.size <= file.size:\n",
            "        while result.proof.digest.size < file.size:\n",
        ),
        wrong=(
            Wrong(
                "pauses in the loop",
                Edit(
                    """\
            result = retrying(self.upload_file, work, file)
        return result
""",
                    """\
            self.pool.sleep(1.0)
            result = retrying(self.upload_file, work, file)
        return result
""",
                ),
            ),
        ),
    ),
    Fault(
        "the last book of a range",
        Kind.ENDLESS,
        put=(
            Edit(
                "            lambda: self.library.read_files(owned.first, owned.last)\n",
                "            lambda: self.library.read_files(owned.first, owned.last - 1)"
                "\n",
            ),
        ),
        cause="read_files includes its last id: the last book of a range is not read",
        wrong=(
            Wrong(
                "one too many",
                Edit(
                    "read_files(owned.first, owned.last - 1)",
                    "read_files(owned.first, owned.last + 1)",
                ),
            ),
        ),
    ),
)
