"""A new version meets a worker script that was repaired: with files, in one process.

In a checkout (`git pull`, an archive unpacked over it), and where services and
containers keep a copy.
"""

import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from auto_monitor.fix_applier import candidate_path, digest, folder_of, managed_script
from auto_monitor.model import CodeChanges, HistoryEntry
from auto_monitor.record.history import HistoryFile, history_path
from auto_monitor.repair import by_hand
from auto_monitor.repair.upgrade import Place, ReleaseMissing, settle
from migration import release
from tests.support.monitor.editkit import SCRIPT
from tests.support.monitor.quickshop import NEW, OLD, Quick

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
NAME = SCRIPT.name
#: This version's script, an older one's, and the same code fix of both.
SHIPPED = SCRIPT.read_text("utf-8")
OLDER = f"# older\n{SHIPPED}"
REPAIRED, REPAIRED_OLDER = (text.replace(OLD, NEW) for text in (SHIPPED, OLDER))


def sha(text: str) -> str:
    """Of a script."""
    return digest(text.encode())


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A checkout of this version, and a state directory."""
    checkout = tmp_path / "checkout"
    checkout.mkdir()
    shutil.copy(SCRIPT, checkout / NAME)
    return Place(checkout / NAME, checkout / NAME, tmp_path / "state")


def repaired(place: Place, before: str, after: str, made_for: str) -> HistoryEntry:
    """A code fix was put in place: the history, candidate and backup it left."""
    entry = HistoryEntry(
        timestamp="2026-01-01T00:00:00+00:00",
        worker_id=2,
        attempt=1,
        trigger="stuck",
        minutes_stuck=5.0,
        status_before="",
        root_cause="the limit is zero",
        fix_type="code_fix",
        code_changes=CodeChanges("", "@@ -1 +1 @@\n-from history\n+x"),
        script_before=sha(before),
        script_after=sha(after),
        applied=True,
        promoted=True,
        reason="it helped",
    )
    HistoryFile(history_path(place.state_dir)).record(entry, NOW)
    for path, text in (
        (candidate_path(place.state_dir, "fix.py"), after),
        (folder_of(place.state_dir, "backups") / f"{NAME}.20260101T000000Z", before),
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
    place.script.parent.mkdir(parents=True, exist_ok=True)
    place.script.write_text(after, "utf-8")
    noted = f"{sha(after)} release={made_for}\n" if made_for else f"{sha(after)}\n"
    place.script.with_name(f".{NAME}.changed").write_text(noted)
    return entry


def kept(place: Place) -> list[Path]:
    """The proposals."""
    return sorted(folder_of(place.state_dir, "proposals").glob("*"))


def entries(place: Place) -> list[HistoryEntry]:
    """The history."""
    return HistoryFile(history_path(place.state_dir)).entries()


@pytest.mark.parametrize("noted", [True, False], ids=["noted", "by the history"])
def test_a_code_fix_of_this_version_stays(place: Place, noted: bool) -> None:
    """As often as the program is started."""
    entry = repaired(place, SHIPPED, REPAIRED, sha(SHIPPED) if noted else "")
    assert settle(place, NOW) == ""
    assert place.script.read_text("utf-8") == REPAIRED
    assert (kept(place), entries(place)) == ([], [entry])


@pytest.mark.parametrize("noted", [True, False], ids=["noted", "by the history"])
def test_a_pull_that_overwrote_a_code_fix(place: Place, noted: bool) -> None:
    """`git checkout -- FILE; git pull`, or an archive unpacked over it."""
    repaired(place, OLDER, REPAIRED_OLDER, sha(OLDER) if noted else "")
    place.script.write_text(SHIPPED, "utf-8")
    said = settle(place, NOW)
    (path,) = kept(place)
    assert path.name == f"{NAME}.{sha(REPAIRED_OLDER)[:12]}.before-update"
    assert f"./migrate apply {path.name} --state-dir " in said
    (entry,) = entries(place)
    assert (entry.rolled_back, entry.verified, entry.case) == (True, None, None)
    assert entry.reason.endswith(f"kept in auto_monitor/proposals/{path.name}")
    assert place.script.read_text("utf-8") == SHIPPED
    assert settle(place, NOW) == ""
    assert kept(place) == [path]


def test_a_code_fix_that_a_person_has_dropped_is_no_proposal(place: Place) -> None:
    """`git checkout -- FILE`, and no new version."""
    repaired(place, SHIPPED, REPAIRED, sha(SHIPPED))
    place.script.write_text(SHIPPED, "utf-8")
    assert settle(place, NOW) == ""
    assert kept(place) == []


def test_what_was_kept_is_tried_on_the_new_version(place: Place) -> None:
    """By --apply: the change alone, with the new script around it; then it is done."""
    repaired(place, OLDER, REPAIRED_OLDER, sha(OLDER))
    place.script.write_text(SHIPPED, "utf-8")
    settle(place, NOW)
    (path,) = kept(place)
    assert json.loads(path.read_bytes())["script"] == REPAIRED_OLDER
    shop = Quick(place.script, place.shipped.parent, place.state_dir, 1.0)
    by_hand.apply(shop, path.name)
    assert place.script.read_text("utf-8") == REPAIRED
    assert release.made_for(place.script) == sha(SHIPPED)
    assert [one.name for one in kept(place)] == [f"{path.name}.applied"]


def test_an_archive_that_left_the_newer_file(place: Place) -> None:
    """The repaired script of an older version is in place, this one's nowhere: refused
    in a sentence, and nothing is changed. Once it is there, it takes its place."""
    repaired(place, OLDER, REPAIRED_OLDER, sha(OLDER))
    with pytest.raises(ReleaseMissing, match="unpack the release again"):
        settle(place, NOW)
    assert place.script.read_text("utf-8") == REPAIRED_OLDER
    backups = folder_of(place.state_dir, "backups")
    (backups / f"{NAME}.20260101T000001Z").write_text(SHIPPED, "utf-8")
    assert settle(place, NOW) != ""
    assert place.script.read_text("utf-8") == SHIPPED
    assert len(kept(place)) == 1


def test_a_script_of_the_users_own(place: Place) -> None:
    """WORKER_SCRIPT: what a person wrote stays, also repaired; a code fix of an older
    release does not."""
    own = replace(place, script=place.state_dir / "mine" / "worker.py")
    own.script.parent.mkdir(parents=True)
    own.script.write_text("print('mine')", "utf-8")
    assert settle(own, NOW) == ""
    release.note_changed(own.script, sha("print('repaired')"), sha("print('mine')"))
    own.script.write_text("print('repaired')", "utf-8")
    assert release.made_for(own.script) == release.OWN
    assert (settle(own, NOW), kept(own)) == ("", [])
    noted = own.script.with_name(".worker.py.changed")
    noted.write_text(f"{sha(REPAIRED_OLDER)} release={sha(OLDER)}\n")
    own.script.write_text(REPAIRED_OLDER, "utf-8")
    assert "./migrate apply worker.py." in settle(own, NOW)
    assert own.script.read_text("utf-8") == SHIPPED


#: The copy of a service or container: the script in place, the release it was copied
#: from; then: the script afterwards, and whether something is kept.
COPIES = {
    "an empty volume": (None, None, SHIPPED, False),
    "the same version again": (SHIPPED, SHIPPED, SHIPPED, False),
    "repaired, the same version": (REPAIRED, SHIPPED, REPAIRED, False),
    "a new version": (OLDER, OLDER, SHIPPED, False),
    "repaired, then a new version that has it": (SHIPPED, OLDER, SHIPPED, False),
    "repaired, then a new version": (REPAIRED_OLDER, OLDER, SHIPPED, True),
    "nobody knows where it came from": (REPAIRED_OLDER, None, SHIPPED, True),
}


@pytest.mark.parametrize("case", COPIES)
def test_the_copy_of_a_service_or_container(case: str, place: Place) -> None:
    """A repair outlives the container, not the version it was made for."""
    found, copied_from, then, keeps = COPIES[case]
    script = managed_script(place.state_dir)
    copy = replace(place, script=script.resolve())
    script.parent.mkdir(parents=True)
    if found is not None:
        script.write_text(found, "utf-8")
    if copied_from is not None:
        (script.parent / "shipped.sha256").write_text(f"{sha(copied_from)}\n")
    said = settle(copy, NOW)
    assert script.read_text("utf-8") == then
    assert [json.loads(path.read_bytes())["script"] for path in kept(copy)] == (
        [found] if keeps else []
    )
    assert bool(said) is keeps
    assert settle(copy, NOW) == ""
    assert script.read_text("utf-8") == then


def test_a_copy_is_never_made_of_a_code_fix(place: Place) -> None:
    """The checkout's own script was repaired: the copy would not be known as one."""
    repaired(place, SHIPPED, REPAIRED, sha(SHIPPED))
    script = managed_script(place.state_dir)
    settle(replace(place, script=script.resolve()), NOW)
    assert script.read_text("utf-8") == SHIPPED
