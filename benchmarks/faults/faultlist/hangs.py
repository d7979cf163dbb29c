"""Ten faults with which a worker hangs.

The script's lines are written as they stand there; comments are a colleague's.
"""

from benchmarks.faults.faultlist.model import Edit, Fault, Kind, Wrong

HANGS = (
    Fault(
        "the last look is nobody's",
        Kind.HANG,
        put=(
            Edit(
                """\
            if self.ledger.passes.is_closed(self.pass_id) or self.ledger.end.is_due(
                self.pass_id
            ):
                return None
""",
                """\
            if self.ledger.passes.is_closed(self.pass_id):
                return None
""",
            ),
        ),
        cause="all ranges are closed and the last look is due, but next_range waits on",
        right=Edit(
            """\
            if self.ledger.passes.is_closed(self.pass_id):
                return None
""",
            """\
            if self.ledger.passes.is_closed(self.pass_id):
                return None
            if self.ledger.end.is_due(self.pass_id):
                return None
""",
        ),
        wrong=(
            Wrong(
                "waits less",
                Edit(
                    "                self.tick(next(waits, 1.0))\n",
                    "                self.tick(next(waits, 0.1))\n",
                ),
            ),
        ),
    ),
    Fault(
        "a hold that is never over",
        Kind.HANG,
        put=(
            Edit(
                """\
        while (seconds := self.hold.left()) > 0:
            self.pool.rest(min(seconds, self.options.probe_seconds), self.publish)
""",
                """\
        while (seconds := self.hold.left()) >= 0:
            # Half a second at least: the server's clock may be late.
            seconds = max(seconds, 0.5)
            self.pool.rest(min(seconds, self.options.probe_seconds), self.publish)
""",
            ),
            Edit(
                """\
        if self.hold.left() > 0:
            self.wait_as_asked()
""",
                """\
        if self.hold.left() >= 0:
            self.wait_as_asked()
""",
            ),
        ),
        cause="hold.left() is never below 0, so the loop of wait_as_asked does not end",
        right=Edit(
            "        while (seconds := self.hold.left()) >= 0:\n",
            "        while (seconds := self.hold.left()) > 0:\n",
        ),
        wrong=(
            Wrong(
                "waits less",
                Edit(
                    "            seconds = max(seconds, 0.5)\n",
                    "            seconds = max(seconds, 0.05)\n",
                ),
            ),
        ),
    ),
    Fault(
        "nothing is asked for again",
        Kind.HANG,
        put=(
            Edit(
                """\
                return self.pool.meanwhile(read, self.publish)
            except LibraryBusy as error:
""",
                """\
                found = self.pool.meanwhile(read, self.publish)
                if found is not None:
                    return found
            except LibraryBusy as error:
""",
            ),
        ),
        cause="a question whose answer is None is asked for ever",
        right=Edit(
            """\
                if found is not None:
                    return found
""",
            """\
                return found
""",
        ),
        wrong=(
            Wrong(
                "pauses in the loop",
                Edit(
                    """\
                if found is not None:
                    return found
""",
                    """\
                if found is not None:
                    return found
                self.pool.rest(1.0, self.publish)
""",
                ),
            ),
        ),
    ),
    Fault(
        "a name that never gets short",
        Kind.HANG,
        put=(
            Edit(
                "        return sanitize.sanitize_filename(name)\n",
                """\
        # A progress file shows at most 120 bytes.
        while len(name.encode("utf-8", "replace")) > 120:
            name = name[:110]
        return sanitize.sanitize_filename(name)
""",
            ),
        ),
        cause="110 letters that are not ASCII are still more than 120 bytes",
        right=Edit("            name = name[:110]\n", "            name = name[:-1]\n"),
        wrong=(
            Wrong(
                "cuts a little more",
                Edit(
                    "            name = name[:110]\n", "            name = name[:90]\n"
                ),
            ),
            Wrong(
                "skips the book",
                Edit(
                    """\
        if file.id.format.startswith("ORIGINAL_"):
""",
                    """\
        if len(file.path) > 120:
            return "its name is too long"
        if file.id.format.startswith("ORIGINAL_"):
""",
                ),
            ),
        ),
        only_here=True,
    ),
    Fault(
        "a lock that a large file keeps",
        Kind.HANG,
        put=(
            Edit(
                """\
        digest = self.transport.identify(file, watch)
        work.digests[file.id] = digest
        return digest
""",
                """\
        # One file at a time: a spinning disk does not like three.
        self.reading.acquire()
        digest = self.transport.identify(file, watch)
        if digest.size > 1_000_000:
            self.log.info("%s is read: %d bytes", file.id, digest.size)
            return digest
        work.digests[file.id] = digest
        self.reading.release()
        return digest
""",
            ),
            Edit("import sys\n", "import sys\nimport threading\n"),
            Edit(
                "        self.found = 0\n",
                "        self.found = 0\n        self.reading = threading.Lock()\n",
            ),
        ),
        cause="identify returns for a large file without releasing self.reading",
        right=Edit(
            """\
        self.reading.acquire()
        digest = self.transport.identify(file, watch)
        if digest.size > 1_000_000:
            self.log.info("%s is read: %d bytes", file.id, digest.size)
            return digest
        work.digests[file.id] = digest
        self.reading.release()
        return digest
""",
            """\
        with self.reading:
            digest = self.transport.identify(file, watch)
        if digest.size > 1_000_000:
            self.log.info("%s is read: %d bytes", file.id, digest.size)
        work.digests[file.id] = digest
        return digest
""",
        ),
        wrong=(
            Wrong(
                "skips the book",
                Edit(
                    "        self.reading.acquire()\n",
                    """\
        if file.size > 1_000_000:
            raise Rejected(f"{file.id} is too large to be read")
        self.reading.acquire()
""",
                ),
            ),
        ),
        only_here=True,
    ),
    Fault(
        "last of all, for ever",
        Kind.HANG,
        put=(
            Edit(
                """\
            self.pool.queue.defer(work, None)
            return
        try:
""",
                """\
            self.pool.queue.defer(work, None)
            return
        if not work.book.authors and not self.pool.queue.idle():
            # Books without an author come last.
            self.pool.queue.defer(work, None)
            return
        try:
""",
            ),
        ),
        cause="the queue is not idle while this very book is being attempted",
        wrong=(
            Wrong(
                "skips the book",
                Edit(
                    """\
            # Books without an author come last.
            self.pool.queue.defer(work, None)
""",
                    """\
            # Books without an author are left out.
            work.files.clear()
            self.pool.queue.done(work)
""",
                ),
            ),
            Wrong(
                "waits longer",
                Edit(
                    """\
            # Books without an author come last.
            self.pool.queue.defer(work, None)
""",
                    """\
            # Books without an author come last.
            self.pool.queue.defer(work, self.clock() + timedelta(seconds=5))
""",
                ),
            ),
        ),
        only_here=True,
    ),
    Fault(
        "two formats change places",
        Kind.HANG,
        put=(
            Edit(
                "                file = work.files[0]\n",
                """\
                file = work.files[0]
                if file.id.format in ("TXT", "RTF") and len(work.files) > 1:
                    # The server takes its metadata from the first: plain text has none.
                    work.files.append(work.files.pop(0))
                    continue
""",
            ),
        ),
        cause="with two plain formats each is put behind the other for ever",
        right=Edit(
            """\
                file = work.files[0]
                if file.id.format in ("TXT", "RTF") and len(work.files) > 1:
                    # The server takes its metadata from the first: plain text has none.
                    work.files.append(work.files.pop(0))
                    continue
""",
            """\
                plain = ("TXT", "RTF")
                work.files.sort(key=lambda one: one.id.format in plain)
                file = work.files[0]
""",
        ),
        wrong=(
            Wrong(
                "skips the file",
                Edit(
                    "                    work.files.append(work.files.pop(0))\n",
                    "                    work.files.pop(0)\n",
                ),
            ),
        ),
        only_here=True,
    ),
    Fault(
        "a deferred book is not put back",
        Kind.HANG,
        put=(
            Edit(
                "            self.pool.queue.defer(work, later.until)\n",
                """\
            self.log.info("Book %s: %s; it comes later", work.book.id, later)
""",
            ),
        ),
        cause="a Deferred book stays active: nobody calls queue.defer for it",
        wrong=(
            Wrong(
                "loads it a second time",
                Edit(
                    """\
            self.log.info("Book %s: %s; it comes later", work.book.id, later)
""",
                    """\
            self.log.info("Book %s: %s; it comes later", work.book.id, later)
            self.pool.queue.load([work])
""",
                ),
            ),
            Wrong(
                "gives up early",
                Edit(
                    """\
            self.log.info("Book %s: %s; it comes later", work.book.id, later)
""",
                    """\
            self.accounting.left_pending[work.book.id] = str(later)
            self.pool.queue.done(work)
""",
                ),
            ),
        ),
    ),
    Fault(
        "what cannot be read is left out",
        Kind.HANG,
        put=(
            Edit(
                """\
        files = [(file, self.excluded(file)) for file in listed]
""",
                """\
        # Empty and missing files have a size of 0.
        listed = [file for file in listed if file.size]
        files = [(file, self.excluded(file)) for file in listed]
""",
            ),
        ),
        cause="a file of size 0 is not registered, so its range is never closed",
        wrong=(
            Wrong(
                "gives the range up",
                Edit(
                    """\
                works = self.read_range(owned, again=True)
                self.hand_out(works)
""",
                    """\
                self.ledger.files.left.give_up(owned)
                del self.held[number]
                works = []
""",
                ),
            ),
        ),
        only_here=True,
        missing_file=True,
    ),
    Fault(
        "kilobytes for files",
        Kind.HANG,
        put=(
            Edit(
                "        self.file_limiter.wait(1)\n",
                """\
        # A large file counts as more than one.
        self.file_limiter.wait(max(1, file.size // 1024))
""",
            ),
        ),
        cause="the limiter of files per minute is given kilobytes",
        wrong=(
            Wrong(
                "skips the book",
                Edit(
                    """\
        self.file_limiter.wait(max(1, file.size // 1024))
""",
                    """\
        if file.size > 1_000_000:
            raise FileMoved(f"{file.id} is large; it is left for later")
        self.file_limiter.wait(max(1, file.size // 1024))
""",
                ),
            ),
        ),
        only_here=True,
        setting={"MAX_FILES_PER_MIN": "300"},
    ),
)
