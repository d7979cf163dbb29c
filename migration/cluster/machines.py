"""The Dask cluster as the coordinator sees it: its client and the usable machines.

Scheduling, membership and transport are Dask's; the client is kept connected here. What
is decided here is only which machines to trust: a machine gets work when it runs this
very program, sees the library and reaches the server; one that fails where others do
not is left out for a while. A "machine" is one Dask worker process.
"""

import logging
import pkgutil
import threading
import time
import uuid
from collections.abc import Callable
from concurrent.futures import CancelledError
from dataclasses import dataclass
from typing import Any

import dask
import distributed

from common.sanitize import for_log
from migration.cluster.messages import Endpoints, Examined, Software
from migration.cluster.remote import examine, software
from migration.errors import ClusterUnusable, MachineLost, ServerNeverAnswered

#: Threads of each process of a `local:N` cluster, each with one request to the server
#: in flight.
LOCAL_THREADS = 2
#: Seconds for one exchange with the scheduler.
PATIENCE = 10.0
#: Seconds between checks of the cluster.
LOOK_SECONDS = 0.5
#: Seconds between two tries to reach a scheduler: the first wait, and the longest.
FIRST_WAIT, LONGEST_WAIT = 0.5, 15.0
#: After this many seconds work begins even if the cluster has no machine yet.
NOBODY_SECONDS = 5.0
#: Seconds until a machine that was left out is examined again.
AGAIN_SECONDS = 10.0
#: A machine that fails to reach the server this often in a row is left out; fewer
#: failures may be the server's.
FAILURES = 3
#: What Dask raises when its connections or its loop are gone; TimeoutError and
#: CommClosedError are OSErrors.
GONE = (OSError, RuntimeError, AttributeError, AssertionError, CancelledError)


@dataclass(slots=True)
class Machine:
    """A member of the cluster.

    `problem` is None before the machine was examined, "" when it gets work, else why
    not. `due` is when to examine it (monotonic clock).
    """

    slots: int
    problem: str | None = None
    host: str = ""
    failures: int = 0
    due: float = 0.0
    asked: Any = None


class Machines:
    """The machines, watched by a thread of its own. Thread-safe."""

    def __init__(
        self,
        address: str,
        place: Endpoints,
        topic: str,
        report: Callable[[Any], None],
        log: logging.Logger,
    ) -> None:
        """`address` is that of `--cluster`.

        `report` is called with each message that machines send under `topic`.
        """
        self._address = address
        self._place = place
        self._topic = topic
        self._report = report
        self._log = log
        self._lock = threading.Lock()
        self._client: Any = None
        self._local: Any = None
        self._machines: dict[str, Machine] = {}
        self._stop = threading.Event()
        self._keeper = threading.Thread(target=self._keep, name="cluster", daemon=True)

    # -- life cycle --------------------------------------------------------------------

    def open(self, seconds: float) -> None:
        """Connects within `seconds` and examines the machines.

        Raises ServerNeverAnswered, and ClusterUnusable when there are machines but none
        can work.
        """
        if self._address.startswith("tls:"):
            _check_certificates()
        if self._address.startswith("local:"):
            self._local = _local_cluster(int(self._address.removeprefix("local:")))
        deadline = time.monotonic() + seconds
        while (error := self._connect()) and time.monotonic() < deadline:
            self._stop.wait(FIRST_WAIT)
        if error:
            raise ServerNeverAnswered(
                f"the Dask scheduler {self._address} did not answer for {seconds:g} "
                f"s ({error}); is it running, and is "
                "--cluster right?"
            )
        self._check_scheduler()
        self._keeper.start()
        nobody = min(deadline, time.monotonic() + NOBODY_SECONDS)
        while (
            time.monotonic() < (deadline if self._machines else nobody)
            and not self._known()
        ):
            self._stop.wait(0.1)
        self._refuse_useless()

    def _known(self) -> bool:
        """Whether all machines that are there have been examined."""
        with self._lock:
            problems = [machine.problem for machine in self._machines.values()]
        return bool(problems) and None not in problems

    def close(self) -> None:
        """Closes the connection, and the local cluster if there is one."""
        self._stop.set()
        client, self._client = self._client, None
        _close(client)
        _close(self._local)

    # -- usable machines ---------------------------------------------------------------

    def client(self) -> Any:
        """Returns the Dask client. Raises MachineLost while there is no connection."""
        client = self._client
        if client is None or client.status != "running":
            raise MachineLost(
                f"the Dask scheduler {self._address} is out of reach", died=False
            )
        return client

    def usable(self) -> list[str]:
        """Returns the addresses of the machines that may get work."""
        with self._lock:
            return [
                address
                for address, machine in self._machines.items()
                if machine.problem == ""
            ]

    def has(self, address: str) -> bool:
        """Whether this machine is still a member of the cluster, as far as is known."""
        with self._lock:
            return address in self._machines

    def slots(self) -> int:
        """Returns how many tasks can run at the same time."""
        with self._lock:
            return sum(
                machine.slots
                for machine in self._machines.values()
                if machine.problem == ""
            )

    def trouble(self) -> str:
        """Returns a sentence saying why nothing can be sent now, or ""."""
        client = self._client
        if client is None or client.status != "running":
            return f"The Dask scheduler {self._address} is out of reach"
        return (
            ""
            if self.usable()
            else f"No machine of the Dask cluster {self._address} can work"
        )

    def quarantine(self, address: str, reason: str) -> None:
        """Leaves a machine out until it has been examined again."""
        with self._lock:
            machine = self._machines.get(address)
            if machine is None or machine.problem:
                return
            machine.problem, machine.failures = reason, 0
            machine.due = time.monotonic() + AGAIN_SECONDS
        self._log.warning(
            "Machine %s (%s) gets no work for now: %s", machine.host, address, reason
        )

    def failure(self, address: str, reason: str) -> None:
        """Counts a failure to reach the server.

        After three in a row the machine is left out.
        """
        with self._lock:
            machine = self._machines.get(address)
            if machine is None:
                return
            machine.failures += 1
            out = machine.failures >= FAILURES
        if out:
            self.quarantine(address, reason)

    def did_well(self, address: str) -> None:
        """Resets the machine's failures after a success."""
        with self._lock:
            if address in self._machines:
                self._machines[address].failures = 0

    # -- the watching thread -----------------------------------------------------------

    def _keep(self) -> None:
        wait = FIRST_WAIT
        while not self._stop.wait(LOOK_SECONDS):
            if self._look():
                wait = FIRST_WAIT
                continue
            self._disconnect()
            while (error := self._connect()) and not self._stop.wait(wait):
                self._log.warning(
                    "Dask scheduler %s: %s; trying again", self._address, error
                )
                wait = min(wait * 2, LONGEST_WAIT)

    def _look(self) -> bool:
        """Updates the members and examines those that are due.

        Returns False if disconnected.
        """
        client = self._client
        if client is None or client.status != "running":
            return False
        try:
            members = client.nthreads(callback_timeout=PATIENCE)
            self._learn(members)
            for address, machine in list(self._machines.items()):
                self._examine(client, address, machine)
        except GONE as error:
            if not self._stop.is_set():
                self._log.warning(
                    "Dask scheduler %s: %s", self._address, for_log(str(error), 200)
                )
            return False
        return True

    def _learn(self, members: dict[str, int]) -> None:
        with self._lock:
            for address in self._machines.keys() - members.keys():
                machine = self._machines.pop(address)
                self._log.warning(
                    "Machine %s (%s) has left the cluster", machine.host or "?", address
                )
            for address, slots in members.items():
                self._machines.setdefault(address, Machine(slots)).slots = slots

    def _examine(self, client: Any, address: str, machine: Machine) -> None:
        """Examines a machine that is new or due, in two tasks; handles the answer.

        The first task uses only Python itself to find out whether the machine has this
        program at all: one that cannot unpickle a task ends.
        """
        if machine.asked is None:
            if machine.problem != "" and time.monotonic() >= machine.due:
                machine.asked = self._ask(
                    client, address, pkgutil.get_data, "migration", "cluster/remote.py"
                )
            return
        if not machine.asked.done():
            return
        asked, machine.asked = machine.asked, None
        error = asked.exception(timeout=PATIENCE)
        answer = None if error else asked.result(timeout=PATIENCE)
        if isinstance(answer, bytes):
            machine.asked = self._ask(client, address, examine, self._place)
            return
        before, machine.due = machine.problem, time.monotonic() + AGAIN_SECONDS
        machine.problem = (
            self._assess(machine, answer)
            if isinstance(answer, Examined)
            else _without_program(error)
        )
        if not machine.problem:
            self._log.info(
                "Machine %s (%s) works along, %d slots",
                machine.host,
                address,
                machine.slots,
            )
        elif machine.problem != before:
            self._log.error(
                "Machine %s (%s) gets no work: %s",
                machine.host or "?",
                address,
                machine.problem,
            )

    @staticmethod
    def _ask(
        client: Any, address: str, work: Callable[..., object], *arguments: object
    ) -> Any:
        key = f"{work.__name__}-{uuid.uuid4().hex}"
        return client.submit(
            work, *arguments, key=key, workers=[address], priority=10, pure=False
        )

    @staticmethod
    def _assess(machine: Machine, examined: Examined) -> str:
        machine.host = for_log(examined.host, 100)
        return _difference(examined.software) or for_log(examined.problem)

    # -- connecting --------------------------------------------------------------------

    def _connect(self) -> str:
        """Connects; returns why that failed, or ""."""
        target = self._local or self._address
        try:
            client = distributed.Client(target, timeout=PATIENCE, set_as_default=False)
        except (*GONE, ValueError, ImportError) as error:
            return for_log(str(error), 200) or type(error).__name__
        client.subscribe_topic(self._topic, lambda event: self._report(event[1]))
        with self._lock:
            self._machines.clear()
        self._client = client
        return ""

    def _disconnect(self) -> None:
        client, self._client = self._client, None
        with self._lock:
            self._machines.clear()
        _close(client)

    def _check_scheduler(self) -> None:
        """Raises ClusterUnusable when the scheduler does not run this program.

        It unpickles what it passes on.
        """
        try:
            problem = _difference(self._client.run_on_scheduler(software))
        except ImportError as error:
            problem = _without_program(error)
        except GONE as error:
            problem = for_log(str(error), 200)
        if problem:
            raise ClusterUnusable(
                f"the Dask scheduler {self._address} cannot be used: {problem}"
            )

    def _refuse_useless(self) -> None:
        with self._lock:
            problems = [
                f"{machine.host or '?'} ({address}): {machine.problem or 'it did not answer'}"
                for address, machine in self._machines.items()
            ]
        if problems and not self.usable():
            raise ClusterUnusable(
                f"no machine of the Dask cluster {self._address} can work: {'; '.join(problems)}"
            )
        if not problems:
            self._log.warning(
                "The Dask cluster %s has no machine yet; waiting for one", self._address
            )


def _difference(theirs: Software) -> str:
    ours = software()
    if theirs == ours:
        return ""
    return (
        f"it runs {theirs}, this one {ours}; give all machines the same checkout "
        "and the same requirements-cluster.txt"
    )


def _without_program(error: BaseException | None) -> str:
    if error is None or isinstance(error, ImportError):
        return (
            "it has not got this program; start it in a checkout, with that "
            "checkout's .venv/bin/python -m dask "
            "(docs/cluster.md)"
        )
    return f"it cannot be examined: {type(error).__name__}: {for_log(str(error), 200)}"


def _check_certificates() -> None:
    """Raises ClusterUnusable when Dask's settings name no usable client certificate."""
    try:
        usable = (
            distributed.Security().get_connection_args("client")["ssl_context"]
            is not None
        )
        reason = "none is set"
    except (OSError, ValueError) as error:
        usable, reason = False, for_log(str(error), 200)
    if not usable:
        raise ClusterUnusable(
            f"--cluster tls:// needs certificates ({reason}): set "
            "DASK_DISTRIBUTED__COMM__TLS__CA_FILE, "
            "…__CLIENT__CERT and …__CLIENT__KEY to their files (docs/cluster.md)"
        )


def _local_cluster(processes: int) -> Any:
    """Starts processes on loopback with certificates that keep others out."""
    security = distributed.Security.temporary()
    with dask.config.set({"distributed.worker.daemon": True}):
        return distributed.LocalCluster(
            n_workers=processes,
            threads_per_worker=LOCAL_THREADS,
            processes=True,
            host="127.0.0.1",
            protocol="tls://",
            security=security,
            dashboard_address="127.0.0.1:0",
            worker_dashboard_address=None,
            silence_logs=logging.ERROR,
            memory_limit=0,
            # A death must be counted by the ledger, not hidden by a retry elsewhere.
            scheduler_kwargs={"allowed_failures": 0, "dashboard": False},
        )


def _close(something: Any) -> None:
    if something is None:
        return
    try:
        something.close(timeout=5)
    except GONE:
        # It is going away in any case; its threads are daemons.
        return
