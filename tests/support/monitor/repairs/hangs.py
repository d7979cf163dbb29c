"""What never ends: loops, waits, locks, retries."""

from tests.support.monitor.repairs.kinds import Hunk, Repair, holding, importing

_PROBE = """\
            error = self.pool.meanwhile(self.client.probe, self.publish)
"""
_WAITING = """\
                self.tracker.set(status=Phase.WAITING)
                self.tick(next(waits, 1.0))
"""
_HOLDS = """\
            if self.pool.queue.holds(owned.first, owned.last):
                continue
"""
_AS_ASKED = """\
        while (seconds := self.hold.left()) > 0:
            self.pool.rest(min(seconds, self.options.probe_seconds), self.publish)
"""
_IDENTIFY = "        digest = self.transport.identify(file, watch)\n"
_REACH = "        sending.stage(stage.name.lower())\n"
_BUSY = """\
        while True:
            try:
                return self.pool.meanwhile(read, self.publish)
            except LibraryBusy as error:
                self.log.warning("%s; waiting for it", error)
                self.tracker.set(status=Phase.WAITING)
                self.pool.rest(self.options.retry_first_seconds, self.publish)
                self.at_work()
"""
_STOP = "            stop=tenacity.stop_after_attempt(TRIES),\n"
_HOLD = """\
        self.hold.ask(error.retry_after)
"""
_TRANSPORT = """\
        while self.transport.trouble():
            self.pool.rest(1.0, self.publish)
"""
_LOOK = """\
            if look is None:
                self.tick(1.0)
"""
_LOGIN = """\
                self.pool.meanwhile(self.session.login, self.publish)
"""
_REFRESH = "        known = len(self.ledger.hashes)\n"

REPAIRS = (
    Repair(
        "the answer of the probe is not looked at",
        "wait_for_server",
        (
            Hunk(
                _PROBE,
                "            self.pool.meanwhile(self.client.probe, self.publish)\n",
                """\
            found = self.pool.meanwhile(self.client.probe, self.publish)
            if found is None:
                break
            error = found
""",
            ),
        ),
    ),
    Repair(
        "a worker without ranges spins",
        "next_range",
        (
            Hunk(
                _WAITING,
                """\
                self.tracker.set(status=Phase.WAITING)
                waits = iter(FIRST_WAITS)
""",
                """\
                self.tracker.set(status=Phase.WAITING)
                pause = next(waits, None)
                self.tick(1.0 if pause is None else min(pause, 1.0))
""",
            ),
        ),
    ),
    Repair(
        "a range is waited for without a pause",
        "close_ranges",
        (
            Hunk(
                _HOLDS,
                """\
            while self.pool.queue.holds(owned.first, owned.last):
                pass
""",
                """\
            if self.pool.queue.holds(owned.first, owned.last):
                self.pool.queue.rest(0.05)
                self.publish()
                continue
""",
            ),
        ),
    ),
    Repair(
        "an event that nobody sets",
        "wait_as_asked",
        (
            importing("threading"),
            holding("self.woken = threading.Event()"),
            Hunk(
                _AS_ASKED,
                """\
        while self.hold.left() > 0:
            self.woken.wait()
""",
                """\
        deadline = self.clock.seconds() + self.hold.left()
        while self.hold.left() > 0 and self.clock.seconds() < deadline:
            self.woken.wait(timeout=min(0.5, max(0.01, self.hold.left())))
            self.publish()
            self.pool.check(0.0)
""",
            ),
        ),
    ),
    Repair(
        "a lock is not given back after an error",
        "identify",
        (
            importing("threading"),
            holding("self.one_reader = threading.Lock()"),
            Hunk(
                _IDENTIFY,
                """\
        self.one_reader.acquire()
        digest = self.transport.identify(file, watch)
        self.one_reader.release()
""",
                """\
        while not self.one_reader.acquire(timeout=1.0):
            self.pool.heed_stop()
        try:
            digest = self.transport.identify(file, watch)
        finally:
            self.one_reader.release()
""",
            ),
        ),
    ),
    Repair(
        "an empty queue is read",
        "reach",
        (
            importing("queue"),
            holding("self.stages = queue.Queue()"),
            Hunk(
                _REACH,
                """\
        self.log.debug("before: %s", self.stages.get())
        sending.stage(stage.name.lower())
""",
                """\
        try:
            before = self.stages.get_nowait()
        except queue.Empty:
            before = None
        self.log.debug("before: %s", before)
        sending.stage(stage.name.lower())
""",
            ),
        ),
    ),
    Repair(
        "a busy library is read by recursion",
        "read_library",
        (
            Hunk(
                _BUSY,
                """\
        try:
            return self.pool.meanwhile(read, self.publish)
        except LibraryBusy:
            return self.read_library(read)
""",
                """\
        tries = 0
        while True:
            try:
                return self.pool.meanwhile(read, self.publish)
            except LibraryBusy as error:
                tries += 1
                self.log.warning("%s; try %d, waiting for it", error, tries)
                self.tracker.set(status=Phase.WAITING)
            self.pool.rest(
                min(30.0, self.options.retry_first_seconds * tries), self.publish
            )
            self.at_work()
""",
            ),
        ),
    ),
    Repair(
        "a file is tried for ever",
        "send_with_retries",
        (
            Hunk(
                _STOP,
                "            stop=tenacity.stop_after_attempt(10**9),\n",
                """\
            stop=tenacity.stop_any(
                tenacity.stop_after_attempt(TRIES), tenacity.stop_after_delay(300)
            ),
""",
            ),
        ),
    ),
    Repair(
        "asleep as long as the server likes",
        "put_off",
        (
            importing("time"),
            Hunk(
                _HOLD,
                "        time.sleep(error.retry_after * 3600)\n",
                "        self.hold.ask(max(0.0, min(error.retry_after, 3600.0)))\n",
            ),
        ),
    ),
    Repair(
        "trouble of the cluster is asked for once",
        "wait_for_transport",
        (
            Hunk(
                _TRANSPORT,
                """\
        trouble = self.transport.trouble()
        while trouble:
            self.pool.rest(1.0, self.publish)
""",
                """\
        while trouble := self.transport.trouble():
            self.log.debug("still %s", trouble)
            self.pool.rest(1.0, self.publish)
""",
            ),
        ),
    ),
    Repair(
        "another worker's last look is asked for without a pause",
        "reopened_by_last_look",
        (
            Hunk(
                _LOOK,
                """\
            if look is None:
                continue
""",
                """\
            if look is None:
                self.publish()
                self.pool.check(0.5)
                self.tick(0.5)
""",
            ),
        ),
    ),
    Repair(
        "a future without a time-out",
        "check_api_connectivity",
        (
            importing("concurrent.futures"),
            Hunk(
                _LOGIN,
                """\
                future = concurrent.futures.Future()
                self.log.debug("%s", future.result())
                self.pool.meanwhile(self.session.login, self.publish)
""",
                """\
                future = concurrent.futures.Future()
                try:
                    self.log.debug("%s", future.result(timeout=1.0))
                except (TimeoutError, concurrent.futures.CancelledError):
                    future.cancel()
                self.pool.meanwhile(self.session.login, self.publish)
""",
            ),
        ),
    ),
    Repair(
        "a lock that its own thread holds",
        "__init__",
        (
            importing("threading"),
            Hunk(
                "        self.missed: dict[FileId, bytes] = {}\n",
                """\
        self.missed: dict[FileId, bytes] = {}
        self.order = threading.Lock()
""",
                """\
        self.missed: dict[FileId, bytes] = {}
        self.order = threading.RLock()
""",
            ),
            Hunk(
                _REFRESH,
                """\
        with self.order, self.order:
            known = len(self.ledger.hashes)
""",
            ),
        ),
    ),
)
