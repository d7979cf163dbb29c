"""What a container does when its program ends, and what it says of a closed library."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from common.settings.programs import KeepSettings
from deploy.migrator.container import migrate
from deploy.migrator.keep import Next, Stop, after, keep, refuse
from deploy.migrator.reading import Owner, sentence, why_unreadable

#: Statuses that a new start cannot mend, or that were asked for.
FINAL = (2, 4, 5, 6, 7, 8)
#: Server away, ledger set aside, internal error, an error nobody caught, KILL.
MAY_PASS = (1, 3, 9, 70, 137, 143)
POLICIES = ("no", "on-failure", "on-failure:10", "unless-stopped", "always")


@pytest.mark.parametrize("policy", POLICIES)
def test_what_follows(policy: str) -> None:
    """Docker never gets a status to act on wrongly."""
    last = Next.END if policy == "no" else Next.HOLD
    assert {after(status, policy, asked=False) for status in FINAL} == {last}
    assert {after(status, policy, asked=False) for status in MAY_PASS} == {Next.AGAIN}
    assert after(0, policy, asked=False) is Next.END
    everything = (0, *FINAL, *MAY_PASS)
    assert {after(status, policy, asked=True) for status in everything} == {Next.END}


class Told(Stop):
    """Programs that end as told; the container is stopped in the wait of that number."""

    def __init__(self, *statuses: int, stopped_in_wait: int = 0) -> None:
        super().__init__()
        self.statuses, self.runs = list(statuses), 0
        self.waits: list[float | None] = []
        self.stopped_in_wait = stopped_in_wait

    def run(self, command: Sequence[str], environment: Mapping[str, str]) -> int:
        assert (list(command), dict(environment)) == (["program"], {"A": "b"})
        self.runs += 1
        return self.statuses.pop(0)

    def wait(self, seconds: float | None = None) -> None:
        self.waits.append(seconds)
        if len(self.waits) == self.stopped_in_wait:
            self.numbers.append(15)


def kept(stop: Told, policy: str = "no") -> int:
    """The container's status."""
    values = KeepSettings(restart_policy=policy, restart_seconds=7.0)
    return keep(["program"], {"A": "b"}, values, stop)


def test_it_is_started_again_until_it_has_done_its_part() -> None:
    """A server that was away, a worker's crash: each after a pause."""
    stop = Told(3, 70, 137, 0)
    assert (kept(stop), stop.runs, stop.waits) == (0, 4, [7.0, 7.0, 7.0])


@pytest.mark.parametrize("status", FINAL)
def test_a_final_status_is_the_containers(status: int) -> None:
    """At once, and only once."""
    stop = Told(status)
    assert (kept(stop), stop.runs, stop.waits) == (status, 1, [])


def test_it_stays_where_docker_would_start_it_again(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """It says so, and ends with the status when it is stopped."""
    stop = Told(4, stopped_in_wait=1)
    assert (kept(stop, "unless-stopped"), stop.runs, stop.waits) == (4, 1, [None])
    assert "Docker would start it again (unless-stopped)" in capsys.readouterr().err


def test_stopped_between_two_starts() -> None:
    """Nothing is started any more."""
    stop = Told(3, 3, stopped_in_wait=1)
    assert (kept(stop), stop.runs) == (143, 1)


#: Docker's policy, the statuses of the program, in which wait the container is stopped;
#: what is said about a reboot, and about a stop.
GOES_ON = [
    ("no", (0,), 0, True, False),
    ("no", (4,), 0, True, False),
    ("no", (3,), 1, True, True),
    ("on-failure", (0,), 0, False, False),
    ("on-failure", (3,), 1, False, True),
    ("on-failure", (4,), 1, False, False),
]


@pytest.mark.parametrize(("policy", "statuses", "wait", "reboot", "stop"), GOES_ON)
def test_how_it_goes_on_is_said(
    policy: str,
    statuses: tuple[int, ...],
    wait: int,
    reboot: bool,
    stop: bool,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Docker starts no migration after a reboot unless it is told to, once: a command to
    paste."""
    monkeypatch.setenv("MIGRATE_COMMAND", "docker compose run --rm migrator m")
    told = Told(*statuses, stopped_in_wait=wait)
    values = KeepSettings(restart_policy=policy, restart_seconds=7.0)
    migrate(["program"], {"A": "b"}, values, told)
    said = capsys.readouterr().err
    assert ("After a reboot of this machine docker compose up -d" in said) is reboot
    assert ("Stopped before its end; docker compose up -d goes on" in said) is stop


def test_a_refusal_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    """With the status of what is refused."""
    stop = Told()
    assert refuse("No.", 2, KeepSettings(), stop) == 2
    assert (capsys.readouterr().err, stop.waits) == ("No.\n", [])


#: What is closed: its owner; what the sentence must hold.
CLOSED = [
    (Owner(1001, 100, 0o700), "set MIGRATOR_UID=1001 and MIGRATOR_GID=100 in .env"),
    (Owner(1001, 100, 0o700), "it belongs to user 1001:100 (mode 0700)"),
    (Owner(0, 0, 0o700), "or set MIGRATOR_UID and MIGRATOR_GID to a user who has it"),
    (Owner(1000, 1000, 0o000), "chmod -R u+rX"),
    (None, "set MIGRATOR_UID and MIGRATOR_GID to its owner in .env"),
]


@pytest.mark.parametrize(("owner", "said"), CLOSED)
def test_whoever_may_not_read_is_told_what_to_set(
    owner: Owner | None, said: str
) -> None:
    """And who they are."""
    told = sentence(Path("/library"), owner, (1000, 1000))
    assert told.startswith("/library cannot be read by user 1000:1000")
    assert said in told


def test_other_trouble_is_not_a_matter_of_rights(tmp_path: Path) -> None:
    """No folder, no database, no author: whoever opens the library says it."""
    assert why_unreadable(tmp_path / "none") == ""
    assert why_unreadable(tmp_path) == ""
