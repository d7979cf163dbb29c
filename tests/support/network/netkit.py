"""Machines on one machine: network namespaces of their own, joined by a bridge in a
further one; for root.

Nothing of it touches the network of the machine itself: the server, the scheduler and
the coordinator live in the hub's namespace too. `iproute2` does it all."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

HUB_ADDRESS = "10.213.0.1"


class Network:
    """The hub has `HUB_ADDRESS`, machine N (from 1) `address(N)`."""

    def __init__(self, machines: int) -> None:
        self._names = [f"mbs{os.getpid()}-{number}" for number in range(machines + 1)]

    def address(self, machine: int) -> str:
        """Of one machine."""
        return f"10.213.0.{10 + machine}"

    def inside(self, machine: int = 0) -> list[str]:
        """The words before a command that is to run there; 0 is the hub."""
        return ["ip", "netns", "exec", self._names[machine]]

    def cut(self, machine: int) -> None:
        """Its cable is pulled: nobody is told."""
        self._ip("-n", self._names[0], "link", "set", f"port{machine}", "down")

    def mend(self, machine: int) -> None:
        """The cable is put in again."""
        self._ip("-n", self._names[0], "link", "set", f"port{machine}", "up")

    def build(self) -> None:
        """Makes everything."""
        hub = self._names[0]
        for name in self._names:
            self._ip("netns", "add", name)
            self._ip("-n", name, "link", "set", "lo", "up")
        self._ip("-n", hub, "link", "add", "bridge", "type", "bridge")
        self._ip("-n", hub, "address", "add", f"{HUB_ADDRESS}/24", "dev", "bridge")
        self._ip("-n", hub, "link", "set", "bridge", "up")
        for machine, name in list(enumerate(self._names))[1:]:
            self._ip(
                "-n",
                hub,
                "link",
                "add",
                f"port{machine}",
                "type",
                "veth",
                "peer",
                "name",
                "eth0",
                "netns",
                name,
            )
            self._ip(
                "-n", hub, "link", "set", f"port{machine}", "master", "bridge", "up"
            )
            self._ip(
                "-n",
                name,
                "address",
                "add",
                f"{self.address(machine)}/24",
                "dev",
                "eth0",
            )
            self._ip("-n", name, "link", "set", "eth0", "up")

    def remove(self) -> None:
        """Takes everything away; the cables and the bridge go with the namespaces."""
        for name in self._names:
            subprocess.run(
                ["ip", "netns", "delete", name], check=False, capture_output=True
            )

    @staticmethod
    def _ip(*words: str) -> None:
        subprocess.run(["ip", *words], check=True, capture_output=True, text=True)


@contextmanager
def network(machines: int) -> Iterator[Network]:
    """Built, and taken away at the end, whatever happens."""
    made = Network(machines)
    try:
        made.build()
        yield made
    finally:
        made.remove()
