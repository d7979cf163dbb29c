"""What a person does about the worker script: `--apply`, `--rollback`; with files."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from auto_monitor import fix_applier
from auto_monitor.fix_applier import FixRefused, NothingToRollBack, Workshop, digest
from auto_monitor.model import HistoryEntry
from auto_monitor.record.evidence import propose
from auto_monitor.record.history import HistoryFile, history_path
from auto_monitor.repair import by_hand
from common.clock import utc_now
from common.files import durable
from common.state_dir import option
from tests.support.monitor.editkit import SCRIPT, as_strings
from tests.support.monitor.editkit import workshop as made_workshop
from tests.support.monitor.quickshop import NEW, OLD, Quick

SHIPPED = SCRIPT.read_text("utf-8")
CHANGED = SHIPPED.replace(OLD, NEW)


@pytest.fixture
def workshop(tmp_path: Path) -> Quick:
    """A copy of the script."""
    assert SHIPPED.count(OLD) == 1
    found = made_workshop(tmp_path)
    return Quick(found.script, found.project, found.state_dir, found.seconds)


def proposal(workshop: Workshop) -> str:
    """A change that was only proposed."""
    return propose(workshop.state_dir, 2, "the limit is zero", as_strings(OLD, NEW))


def entries(workshop: Workshop) -> list[HistoryEntry]:
    """The attempts."""
    return HistoryFile(history_path(workshop.state_dir)).entries()


def test_a_proposal_is_put_in_place_and_taken_back(workshop: Quick) -> None:
    """Recorded, with the hashes; the diff keeps its indentation."""
    said = by_hand.apply(workshop, proposal(workshop))
    assert workshop.script.read_text("utf-8") == CHANGED
    assert f"\n-{OLD}\n+{NEW}\n" in said
    assert "(passed the gate); backup bulk_migrate_calibre.py." in said
    (entry,) = entries(workshop)
    assert (entry.trigger, entry.promoted, entry.applied, entry.root_cause) == (
        "by_hand",
        True,
        True,
        "the limit is zero",
    )
    hashes = (digest(SHIPPED.encode()), digest(CHANGED.encode()))
    assert (entry.script_before, entry.script_after) == hashes
    told = by_hand.roll_back(workshop.script, workshop.state_dir)
    assert str(entry.backup) in told
    assert workshop.script.read_text("utf-8") == SHIPPED
    (entry,) = entries(workshop)
    assert (entry.rolled_back, entry.promoted) == (True, True)
    (kept,) = (workshop.state_dir / "auto_monitor" / "proposals").glob("*.taken-back")
    by_hand.apply(workshop, kept.name)
    assert workshop.script.read_text("utf-8") == CHANGED


def test_what_differs_from_the_release(workshop: Quick) -> None:
    """With the code fixes that made it, and how to keep or drop it."""
    place = (workshop.script, workshop.project, workshop.state_dir)
    assert by_hand.difference(*place) == f"{workshop.script} is the released one.\n"
    by_hand.apply(workshop, proposal(workshop))
    said = by_hand.difference(*place)
    assert f"\n-{OLD}\n+{NEW}\n" in said
    assert ": the limit is zero\n" in said
    assert f"./migrate rollback {option(workshop.state_dir)} takes it back" in said


def test_without_a_sandbox_a_person_may_decide(workshop: Quick) -> None:
    """It is said, and recorded."""
    here = Quick(
        workshop.script, workshop.project, workshop.state_dir, 1.0, unavailable=True
    )
    said = by_hand.apply(here, proposal(workshop))
    assert "not tried before, as a person asked: no sandbox" in said
    assert "not tried before" in str(entries(workshop)[0].validation)


REFUSED = [
    ("../../x", "holds no change; there are: none"),
    ("import.json", "the change is not allowed"),
    ("gone.json", "the edit cannot be applied"),
]


@pytest.mark.parametrize(("name", "why"), REFUSED, ids=[r[0] for r in REFUSED])
def test_what_cannot_be_applied_changes_nothing(
    workshop: Quick, name: str, why: str
) -> None:
    """As for every code fix."""
    folder = workshop.state_dir / "auto_monitor" / "proposals"
    folder.mkdir(parents=True)
    codes = {
        "import.json": as_strings(OLD, "        limit = 5; import os"),
        "gone.json": as_strings("        nothing = like = this", NEW),
    }
    if name in codes:
        (folder / name).write_text(json.dumps({"code": codes[name]}))
    with pytest.raises(FixRefused, match=why):
        by_hand.apply(workshop, name)
    assert workshop.script.read_text("utf-8") == SHIPPED
    assert entries(workshop) == []


def test_a_third_script_is_never_overwritten(workshop: Quick) -> None:
    """Somebody pulled a newer version over a code fix: it stays."""
    by_hand.apply(workshop, proposal(workshop))
    pulled = f"{SHIPPED}\n# a newer version\n"
    workshop.script.write_text(pulled, "utf-8")
    with pytest.raises(NothingToRollBack, match="nothing was overwritten"):
        by_hand.roll_back(workshop.script, workshop.state_dir)
    assert workshop.script.read_text("utf-8") == pulled


def test_how_to_keep_a_change_in_a_checkout(workshop: Quick, tmp_path: Path) -> None:
    """Only those with git are told about git."""
    assert "git" not in fix_applier.how_to_keep(workshop.script, "")
    (tmp_path / ".git").mkdir()
    assert "`git checkout -- bulk_migrate_calibre.py` drops it" in (
        fix_applier.how_to_keep(workshop.script, "")
    )


def test_what_was_dropped_is_refused_at_once(workshop: Quick) -> None:
    """So that the LLM is asked for another change; a person may still want it."""
    history = HistoryFile(history_path(workshop.state_dir))
    entry = HistoryEntry("then", 2, 1, "stuck", 5.0, "migrating", "a loop")
    dropped = replace(
        entry,
        script_after=digest(CHANGED.encode()),
        verified=False,
        rolled_back=True,
        reason="it hangs",
    )
    history.record(dropped, utc_now())
    with pytest.raises(FixRefused, match="was tried at then and taken back: it hangs"):
        workshop.apply(as_strings(OLD, NEW))
    by_hand.apply(workshop, proposal(workshop))
    assert workshop.script.read_text("utf-8") == CHANGED


class Died(Exception):
    """The program is killed here."""


@pytest.mark.parametrize("after", range(1, 7))
def test_killed_after_any_write_the_script_is_the_old_or_the_new_one(
    workshop: Quick, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """And the next try ends the story: one script, one entry that says so."""
    name, done, write = proposal(workshop), [0], durable.replace

    def counted(path: Path, data: bytes, *, mode: int) -> None:
        write(path, data, mode=mode)
        done[0] += 1
        if done[0] == after:
            raise Died

    monkeypatch.setattr(durable, "replace", counted)
    died = False
    try:
        by_hand.apply(workshop, name)
    except Died:
        died = True
    done[0] = 99
    assert died is (after <= 5)
    text = workshop.script.read_text("utf-8")
    assert text in (SHIPPED, CHANGED)
    if text == CHANGED:
        assert entries(workshop)[-1].script_after == digest(CHANGED.encode())
        by_hand.roll_back(workshop.script, workshop.state_dir)
        assert workshop.script.read_text("utf-8") == SHIPPED
    by_hand.apply(workshop, name)
    assert workshop.script.read_text("utf-8") == CHANGED
    assert entries(workshop)[-1].promoted
