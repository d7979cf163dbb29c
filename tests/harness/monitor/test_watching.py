"""A monitor that stays: what it does between two passes."""

from dataclasses import replace
from datetime import timedelta

from auto_monitor.decide.watching import WatchPolicy
from migration.ledger.totals import Totals
from tests.support.monitor.harness import OPEN, Harness

POLICY = WatchPolicy(timedelta(minutes=15), timedelta(minutes=1))


class Watched(Harness):
    """A monitor of two workers that watches a library."""

    def __init__(self, found: Totals | None = OPEN) -> None:
        super().__init__(2, watching=POLICY)
        self.ledger.found = found
        assert self.monitor.begin()

    def watch(self, minutes: float) -> None:
        """So many minutes, a round each; it never ends."""
        assert not self.rounds(minutes)

    def close(self, **more: object) -> None:
        """The workers are done with the pass, and end."""
        found = self.newest
        counts = replace(found.counts, uploaded=found.counts.discovered, pending=0)
        self.ledger.found = replace(found, closed_at=self.clock(), counts=counts)
        for number in list(self.processes.alive):
            self.processes.end(number, 0)

    @property
    def newest(self) -> Totals:
        """The newest pass."""
        assert self.ledger.found is not None
        return self.ledger.found

    @property
    def found(self) -> str:
        """What the last look found, as it is shown."""
        assert self.monitor.memory.state.watch is not None
        return self.monitor.memory.state.watch.found

    @property
    def trouble(self) -> str:
        """What stands in the way, as it is shown."""
        assert self.monitor.memory.state.watch is not None
        return self.monitor.memory.state.watch.trouble


def settled() -> Watched:
    """Its first pass, of which it knows with what it began, is closed."""
    made = Watched(None)
    made.watch(3)
    assert made.newest.pass_id == 1
    made.close()
    made.watch(1)
    return made


def test_the_first_pass_runs_when_there_was_none() -> None:
    """The library is left alone for a minute, a pass is opened, workers start; when it
    closes the monitor writes the report and stays."""
    made = Watched(None)
    assert made.processes.started == []
    made.watch(1)
    assert "a pass follows" in made.found
    assert made.opener.opened == 0
    made.watch(1)
    assert (made.opener.opened, made.found) == (1, "a pass is being opened")
    made.watch(2)
    assert (made.found, sorted(made.processes.alive)) == (
        "pass 1 is under way",
        [1, 2],
    )
    made.close()
    made.watch(1)
    assert len(made.reports) == 1
    assert made.monitor.memory.state.ended == ""
    assert made.found == "no change since pass 1 (100 files new)"
    made.watch(100)
    assert made.opener.opened == 1


def test_no_worker_starts_before_the_one_that_opens_the_pass_has_ended() -> None:
    """It has the place of worker 1, and looks like it."""
    made = Watched(None)
    made.opener.lasts = True
    made.watch(5)
    assert made.newest.pass_id == 1
    assert (made.processes.started, made.found) == ([], "a pass is being opened")
    assert not made.monitor.wanted_soon()
    made.opener.lasts = False
    assert made.monitor.wanted_soon()
    made.watch(1)
    assert sorted(made.processes.alive) == [1, 2]


def test_it_looks_every_quarter_of_an_hour() -> None:
    """Not more often: a share of another machine may be asleep."""
    made = settled()
    looks = made.library.looks
    made.watch(60)
    assert made.library.looks == looks + 4


def test_a_change_is_carried_by_a_pass_of_its_own() -> None:
    """Found by a look; then a minute of quiet; with workers started anew."""
    made = settled()
    started = len(made.processes.started)
    made.library.change()
    made.watch(14)
    assert made.opener.opened == 1
    made.watch(4)
    assert (made.opener.opened, made.newest.pass_id) == (2, 2)
    assert len(made.processes.started) == started + 2
    made.close()
    made.watch(40)
    assert made.opener.opened == 2


def test_an_event_is_followed_at_once_but_never_before_it_is_quiet() -> None:
    """Somebody edits for half an hour."""
    made = settled()
    made.library.tells = True
    for _ in range(60):
        made.library.change()
        made.clock.move(30)
        assert made.monitor.wanted_soon()
        assert not made.monitor.tick()
    assert made.opener.opened == 1
    made.watch(2)
    assert made.opener.opened == 2


def test_what_is_changed_during_a_pass_belongs_to_the_next() -> None:
    """The look after the pass finds it."""
    made = settled()
    made.library.change()
    made.watch(18)
    assert made.newest.pass_id == 2
    made.library.change()
    made.watch(5)
    assert made.newest.pass_id == 2
    made.close()
    made.watch(4)
    assert made.newest.pass_id == 3


def test_a_library_that_is_away_is_waited_for() -> None:
    """No alert for a moment, one for longer; and it goes on by itself."""
    made = settled()
    told = len(made.alerts.told)
    made.library.trouble, made.library.waits = "metadata.db is not there", True
    made.watch(1)
    assert made.found == "the library cannot be read: metadata.db is not there"
    assert len(made.alerts.told) == told
    made.watch(60)
    assert made.alerts.told[told:] == [
        "The library cannot be read: metadata.db is not there; it is waited for"
    ]
    assert made.opener.opened == 1
    made.library.trouble = ""
    made.library.change()
    made.watch(4)
    assert (made.opener.opened, made.trouble) == (2, "")


def test_a_pass_that_cannot_be_opened_is_tried_again_at_the_next_look() -> None:
    """Told once, however often it is tried; a change is a reason to try sooner."""
    made = settled()
    told = len(made.alerts.told)
    made.opener.code, made.opener.said = 3, "the server does not answer"
    made.library.change()
    made.watch(120)
    assert 7 <= made.opener.opened <= 9
    assert made.alerts.told[told:] == [
        "A pass cannot be opened: the server does not answer. Tried again at the next "
        "look, and when the library changes"
    ]
    assert made.trouble == made.alerts.told[-1]
    assert made.found == "a pass cannot be run yet"
    opened = made.opener.opened
    made.library.tells = True
    made.library.change()
    made.watch(2)
    assert made.opener.opened == opened + 1
    made.opener.code = 0
    made.watch(20)
    assert (made.newest.pass_id, made.trouble) == (2, "")


def test_a_process_that_cannot_be_started_is_no_end() -> None:
    """Too many processes on this machine, for a while."""
    made = settled()
    made.opener.refuses = True
    made.library.change()
    made.watch(30)
    assert "a pass cannot be opened: Resource temporarily unavailable" in made.trouble
    made.opener.refuses = False
    made.watch(20)
    assert made.newest.pass_id == 2


def test_workers_that_all_end_for_good_are_tried_again_at_the_next_look() -> None:
    """Told once; the pass stays open meanwhile, and is worked on when it can be."""
    made = settled()
    made.library.change()
    made.watch(18)
    told = len(made.alerts.told)
    for round_ in range(3):
        for number in list(made.processes.alive):
            made.processes.end(number, 4)
        made.watch(1)
        assert made.processes.alive == {}
        made.watch(18)
        assert sorted(made.processes.alive) == [1, 2], round_
    assert [text for text in made.alerts.told[told:] if "Every worker" in text] == [
        "Every worker ended with status 4; see migration_worker1.log. Tried again at "
        "the next look, and when the library changes"
    ]
    # Those of the first time, one for each worker.
    assert len(made.alerts.told[told:]) == 3
    assert (made.newest.pass_id, made.trouble) == (2, "")
    made.close()
    made.watch(1)
    assert made.found == "no change since pass 2 (100 files new)"


def test_a_library_that_is_replaced_in_mid_pass_is_no_alert() -> None:
    """The workers end for good; it is whole again soon, and the pass goes on."""
    made = settled()
    made.library.change()
    made.watch(18)
    told = len(made.alerts.told)
    made.library.trouble = "metadata.db is not there"
    for number in list(made.processes.alive):
        made.processes.end(number, 4)
    made.watch(1)
    assert made.found == "the library cannot be read: metadata.db is not there"
    made.library.trouble = ""
    made.library.change()
    made.watch(4)
    assert (made.newest.pass_id, made.found) == (2, "pass 2 is under way")
    assert made.alerts.told[told:] == []
    made.close()
    made.watch(4)
    assert made.newest.pass_id == 3


def test_a_library_that_stays_away_in_mid_pass_is_told_of_once() -> None:
    """As one that goes away between two passes."""
    made = settled()
    made.library.change()
    made.watch(18)
    told = len(made.alerts.told)
    made.library.trouble = "metadata.db is not there"
    for number in list(made.processes.alive):
        made.processes.end(number, 4)
    made.watch(60)
    assert made.alerts.told[told:] == [
        "The library cannot be read: metadata.db is not there; it is waited for"
    ]


def test_a_file_that_is_replaced_while_a_pass_is_opened_is_no_alert() -> None:
    """Nor is anything waited for but quiet."""
    made = settled()
    told = len(made.alerts.told)
    made.library.change()
    made.opener.code, made.opener.said = 2, "there is no metadata.db"
    made.library.waits = True
    made.watch(2)
    assert made.opener.runs
    made.library.change()
    made.opener.code = 0
    made.watch(4)
    assert made.newest.pass_id == 2
    assert made.alerts.told[told:] == []


def test_what_is_changed_while_nobody_works_on_a_pass_belongs_to_the_next() -> None:
    """The pass that goes on knows nothing of books that are newer than it is."""
    made = settled()
    made.library.change()
    made.watch(18)
    for number in list(made.processes.alive):
        made.processes.end(number, 4)
    made.watch(1)
    made.library.change()
    made.watch(18)
    assert (made.found, made.newest.pass_id) == ("pass 2 is under way", 2)
    made.close()
    made.watch(4)
    assert made.newest.pass_id == 3
    made.close()
    made.watch(60)
    assert made.newest.pass_id == 3


def test_across_a_restart_nothing_is_done_twice() -> None:
    """The state says what the newest pass began with; an open pass goes on."""
    made = settled()
    assert made.new_monitor().begin()
    made.watch(60)
    assert made.opener.opened == 1
    made.library.change()
    made.watch(18)
    assert made.newest.pass_id == 2
    made.watch(1)
    assert made.new_monitor().begin()
    made.watch(1)
    assert made.found == "pass 2 is under way"
    made.close()
    made.watch(60)
    assert made.opener.opened == 2


def test_other_settings_are_a_reason_for_a_pass() -> None:
    """Another selection, for example: the library is the same, the books are others."""
    made = settled()
    made.settings = replace(made.settings, asked="others")
    assert made.new_monitor().begin()
    made.watch(3)
    assert made.newest.pass_id == 2
    made.close()
    assert made.new_monitor().begin()
    made.watch(30)
    assert made.newest.pass_id == 2


def test_a_change_while_no_monitor_ran_is_found_at_the_start() -> None:
    """Its first look comes at once."""
    made = settled()
    made.library.change()
    assert made.new_monitor().begin()
    made.watch(4)
    assert made.newest.pass_id == 2


def test_a_pass_of_which_nothing_is_known_is_followed_by_another() -> None:
    """What was changed while it was opened, by hand or by an older version, is not
    known."""
    made = Watched(OPEN)
    made.watch(5)
    assert made.opener.opened == 0
    made.close()
    made.watch(4)
    assert made.newest.pass_id == OPEN.pass_id + 1
    made.close()
    made.watch(60)
    assert made.opener.opened == 1


def test_start_sh_says_with_what_its_pass_began() -> None:
    """Then it is not followed by another one."""
    made = Harness(2, watching=POLICY)
    made.settings = replace(made.settings, library_mark="mark 0")
    assert made.new_monitor().begin()
    made.ledger.found = replace(OPEN, closed_at=made.clock())
    assert not made.rounds(60)
    assert made.opener.opened == 0


def test_a_pass_opened_by_hand_is_taken_up() -> None:
    """Between two looks."""
    made = settled()
    made.ledger.found = replace(OPEN, pass_id=5, opened_at=made.clock())
    made.watch(1)
    assert (made.found, sorted(made.processes.alive)) == (
        "pass 5 is under way",
        [1, 2],
    )


def test_attempts_of_one_pass_say_nothing_about_the_next() -> None:
    """A worker that was paused in the last pass starts in the next."""
    made = Watched(OPEN)
    made.hang(2)
    made.watch(60)
    assert made.monitor.parts.cases.standing(2).paused
    made.observer.hangs.clear()
    made.close()
    made.watch(5)
    assert not made.monitor.parts.cases.standing(2).paused
    assert sorted(made.processes.alive) == [1, 2]


def test_without_watch_nothing_of_it_is_remembered() -> None:
    """A monitor that ends with the pass neither looks nor says that it does."""
    made = settled()
    made.settings = replace(made.settings, watching=None)
    assert not made.new_monitor().begin()
    made.ledger.found = replace(OPEN, opened_at=made.clock())
    assert made.new_monitor().begin()
    made.rounds(1)
    assert made.monitor.memory.state.watch is None
