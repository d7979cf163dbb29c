"""What `./start.sh` hands on of a selection: that of the open pass, to who needs it."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest

from common.clock import SteadyClock
from common.settings.load import Option, Source, Sources
from common.settings.programs import StartSettings
from deploy.host.job import Job, without_selection
from deploy.host.opening import refuse_another_selection, with_selection
from migration.calibre.selection import asked
from migration.errors import AnotherSelection
from migration.ledger.ledger import Ledger
from migration.ledger.scope import Scope
from migration.state_files.owner import this_process

NOW = datetime(2026, 11, 29, 12, 0, tzinfo=UTC)
TAGS = StartSettings(select_tag=("Fantasy", "Sci;Fi"))


def job(state_dir: Path, values: StartSettings) -> Job:
    return Job(
        Path("library"),
        state_dir,
        "http://127.0.0.1:9",
        {},
        None,
        workers=2,
        workers_given=False,
        settings={"BATCH_SIZE": "8"},
        values=values,
        found=Sources(),
    )


@pytest.fixture
def state_dir(tmp_path: Path) -> Path:
    """An open pass about some tags."""
    selection = asked(TAGS, NOW)
    scope = Scope(selection.to_json(), str(selection), 200, 160)
    ledger = Ledger(tmp_path, this_process(1), SteadyClock())
    ledger.passes.join(40, may_open=True, scope=scope.text())
    ledger.close()
    return tmp_path


def test_workers_get_the_selection_of_the_open_pass(state_dir: Path) -> None:
    """Should the ledger be lost, they begin with the same books."""
    made, said = with_selection(job(state_dir, StartSettings()))
    assert made.settings == {"BATCH_SIZE": "8", "SELECT_TAG": r"Fantasy;Sci\;Fi"}
    assert said == (
        "Pass 1 has a selection: tag Fantasy or Sci;Fi; 160 of 200 books are outside, "
        "with which it goes on."
    )
    _made, said = with_selection(job(state_dir, TAGS))
    assert said.endswith("160 of 200 books are outside.")


def test_a_monitor_that_stays_keeps_to_what_was_asked_for(state_dir: Path) -> None:
    """Its further passes are not about what an earlier start had selected."""
    made, said = with_selection(replace(job(state_dir, StartSettings()), watch=True))
    assert made.settings == {"BATCH_SIZE": "8"}
    assert "with which it goes on" in said


def test_without_an_open_pass_nothing_is_said(tmp_path: Path) -> None:
    made = job(tmp_path, TAGS)
    assert with_selection(made) == (made, "")
    refuse_another_selection(made)


def test_another_selection_is_refused(state_dir: Path) -> None:
    refuse_another_selection(job(state_dir, TAGS))
    refuse_another_selection(job(state_dir, StartSettings()))
    with pytest.raises(AnotherSelection, match=r"tag Fantasy or Sci;Fi.*ids 1-3"):
        refuse_another_selection(job(state_dir, StartSettings(select_ids=((1, 3),))))


def test_the_demo_has_no_selection_of_another_library() -> None:
    """What `.env` says is not about it; an option is."""
    found = Sources(
        Source(".env", {"SELECT_TAG": "Fantasy"}),
        options={"SELECT_IDS": Option("--ids", "1-5")},
    )
    values = StartSettings(select_tag=("Fantasy",), select_ids=((1, 5),))
    made, said = without_selection(values, found)
    assert made == StartSettings(select_ids=((1, 5),))
    assert said["SELECT_TAG"] == ""
    assert "SELECT_IDS" not in said
