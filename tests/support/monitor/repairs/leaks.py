"""What is never given back: memory, descriptors, threads, files."""

from tests.support.monitor.repairs.kinds import Hunk, Repair, holding, importing

_IDENTIFY = "        digest = self.transport.identify(file, watch)\n"
_FAILED = """\
        self.tracker.failed_with(error)
        self.log.warning("Book %s is pending: %s", work.book.id, told(error))
"""
_PROCESS = "        work.made, work.reopened = None, False\n"

REPAIRS = (
    Repair(
        "a list of every digest",
        "identify",
        (
            holding("self.seen_digests = []"),
            Hunk(
                _IDENTIFY,
                _IDENTIFY + "        self.seen_digests.append(digest)\n",
                _IDENTIFY
                + """\
        self.seen_digests.append(digest)
        del self.seen_digests[:-100]
""",
            ),
        ),
    ),
    Repair(
        "a file opened and never closed",
        "identify",
        (
            Hunk(
                _IDENTIFY,
                """\
        handle = open(self.library.root / os.fsdecode(file.path), "rb")
        self.log.debug("%s begins with %r", file.id, handle.read(4))
        digest = self.transport.identify(file, watch)
""",
                """\
        with open(self.library.root / os.fsdecode(file.path), "rb") as handle:
            self.log.debug("%s begins with %r", file.id, handle.read(4))
        digest = self.transport.identify(file, watch)
""",
            ),
        ),
    ),
    Repair(
        "a whole file in memory",
        "identify",
        (
            importing("hashlib"),
            Hunk(
                _IDENTIFY,
                """\
        with open(self.library.root / os.fsdecode(file.path), "rb") as handle:
            mine = hashlib.sha1(handle.read() * 64)
        self.log.debug("%s: %s", file.id, mine.hexdigest())
        digest = self.transport.identify(file, watch)
""",
                """\
        mine = hashlib.sha1()
        with open(self.library.root / os.fsdecode(file.path), "rb") as handle:
            while chunk := handle.read(65536):
                mine.update(chunk)
        self.log.debug("%s: %s", file.id, mine.hexdigest())
        digest = self.transport.identify(file, watch)
""",
            ),
        ),
    ),
    Repair(
        "a thread for each failure",
        "trouble",
        (
            importing("threading"),
            Hunk(
                _FAILED,
                """\
        threading.Thread(target=threading.Event().wait, daemon=True).start()
        self.tracker.failed_with(error)
        self.log.warning("Book %s is pending: %s", work.book.id, told(error))
""",
                _FAILED,
            ),
        ),
    ),
    Repair(
        "a set of files that are being sent",
        "upload_file",
        (
            holding("self.on_the_way = set()"),
            Hunk(
                "        self.refuse_unsendable(file)\n        with self.tracker",
                """\
        self.on_the_way.add((file.id, file.mtime_ns, self.clock()))
        self.refuse_unsendable(file)
        with self.tracker""",
                """\
        if len(self.on_the_way) >= 64:
            self.on_the_way = set(sorted(self.on_the_way, key=str)[-8:])
        self.on_the_way.add((file.id, file.mtime_ns, self.clock()))
        self.refuse_unsendable(file)
        with self.tracker""",
            ),
        ),
    ),
    Repair(
        "a log handler for each book",
        "process_book",
        (
            importing("logging"),
            Hunk(
                _PROCESS,
                _PROCESS + "        self.log.addHandler(logging.StreamHandler())\n",
                _PROCESS,
            ),
        ),
    ),
    Repair(
        "a temporary file for each book",
        "process_book",
        (
            importing("tempfile"),
            Hunk(
                _PROCESS,
                """\
        _fd, name = tempfile.mkstemp()
        self.log.debug("%s: %s", work.book.id, name)
        work.made, work.reopened = None, False
""",
                """\
        fd, name = tempfile.mkstemp()
        self.log.debug("%s: %s", work.book.id, name)
        os.close(fd)
        os.unlink(name)
        work.made, work.reopened = None, False
""",
            ),
        ),
    ),
)
