"""What goes on and is wrong: comparisons, orders, caches, swallowed errors."""

from tests.support.monitor.repairs.kinds import Hunk, Repair, holding

_FORMATS = (
    "        if self.options.formats and file.id.format not in self.options.formats:\n"
)
_DUE = "            files >= REFRESH_FILES\n            or "
_LOOP = """\
            while work.files:
                self.pool.heed_stop()
                file = work.files[0]
                self.accounting.account"""
_TODO = "            todo = todo[: self.allowance(works)]\n"
_HAND_OUT = """\
    def hand_out(self, works: Sequence[Work]) -> None:
        \"\"\"Passes the books to the lane; queues those it leaves to the uploaders.\"\"\"
        self.pool.queue.load(self.lane.carry(works))
"""
_KNOWN = """\
        known = work.digests.get(file.id)
        if known is not None:
            return known
        digest = self.transport.identify(file, watch)
        work.digests[file.id] = digest
"""
_DONE = (
    "        else:\n            self.pool.queue.done(work)\n\n    def may_be_put_off"
)
_DELAY = (
    "            sleep=lambda seconds: "
    "self.pool.sleep(max(seconds, self.hold.left())),\n"
)
_FAILED = """\
        except Rejected as error:
            return UploadResult(file.id, Outcome.FAILED, error.evidence)

    def send_with"""

REPAIRS = (
    Repair(
        "formats are compared as they were typed",
        "excluded",
        (
            Hunk(
                _FORMATS,
                _FORMATS.replace("file.id.format not", "file.id.format.lower() not"),
                """\
        asked = {name.strip().upper() for name in self.options.formats or ()}
        if asked and file.id.format.upper() not in asked:
""",
            ),
        ),
    ),
    Repair(
        "a list is changed while it is gone through",
        "process_book",
        (
            Hunk(
                _LOOP,
                """\
            for file in work.files:
                self.pool.heed_stop()
                self.accounting.account""",
                """\
            for file in tuple(work.files):
                self.pool.heed_stop()
                self.accounting.account""",
            ),
        ),
    ),
    Repair(
        "a comparison the wrong way round",
        "refresh_due",
        (
            Hunk(
                _DUE,
                "            files <= REFRESH_FILES\n            or ",
                "            abs(files) > REFRESH_FILES - 1\n            or ",
            ),
        ),
    ),
    Repair(
        "no limit is taken for none left",
        "works",
        (
            Hunk(
                _TODO,
                "            todo = todo[: self.allowance(works) or 0]\n",
                """\
            left = self.allowance(works)
            todo = todo if left is None else todo[:left]
""",
            ),
        ),
    ),
    Repair(
        "a default that all calls share",
        "hand_out",
        (
            Hunk(
                _HAND_OUT,
                """\
    def hand_out(self, works: Sequence[Work], more: list[Work] = []) -> None:
        \"\"\"Passes the books to the lane; queues those it leaves to the uploaders.\"\"\"
        more.extend(works)
        self.pool.queue.load(self.lane.carry(more))
""",
                """\
    def hand_out(
        self, works: Sequence[Work], more: list[Work] | None = None
    ) -> None:
        \"\"\"Passes the books to the lane; queues those it leaves to the uploaders.\"\"\"
        self.pool.queue.load(self.lane.carry([*(more or []), *works]))
""",
            ),
        ),
    ),
    Repair(
        "digests are kept by the files' sizes",
        "identify",
        (
            holding("self.by_size = {}"),
            Hunk(
                _KNOWN,
                """\
        known = self.by_size.get(file.size)
        if known is not None:
            return known
        digest = self.transport.identify(file, watch)
        self.by_size[file.size] = digest
""",
                """\
        key = (file.id, file.path, file.size, file.mtime_ns)
        if key in self.by_size:
            return self.by_size[key]
        digest = self.transport.identify(file, watch)
        if len(self.by_size) < 1000:
            self.by_size[key] = digest
""",
            ),
        ),
    ),
    Repair(
        "every error is swallowed",
        "attempt_book",
        (
            Hunk(
                _DONE,
                """\
        except Exception:
            self.pool.queue.done(work)
"""
                + _DONE,
                """\
        except (ArithmeticError, LookupError, AttributeError):
            self.log.exception("Book %s: a mistake of ours", work.book.id)
            self.accounting.give_back(work, counted=False)
            raise
"""
                + _DONE,
            ),
        ),
    ),
    Repair(
        "seconds are taken for milliseconds",
        "send_with_retries",
        (
            Hunk(
                _DELAY,
                """\
            sleep=lambda seconds: self.pool.sleep(seconds * 1000),
""",
                """\
            sleep=lambda seconds, most=60.0: self.pool.sleep(
                min(most, max(float(seconds), self.hold.left()))
            ),
""",
            ),
        ),
    ),
    Repair(
        "a refusal is raised as an outage",
        "process_file",
        (
            Hunk(
                _FAILED,
                """\
        except Rejected as error:
            raise ServerFault(str(error)) from None

    def send_with""",
                """\
        except Rejected as refused:
            if refused.evidence is None:
                raise ServerFault(sanitize.for_log(str(refused), 200)) from refused
            outcome = Outcome.FAILED
            return UploadResult(file.id, outcome, proof=refused.evidence)

    def send_with""",
            ),
        ),
    ),
)
