"""Which settings the direct lane needs."""

from pathlib import Path

import pytest

from common.settings.lanes import API, AUTO, DIRECT, Lanes

URI, FOLDER = "postgresql://u:p@h/d", Path("/srv/data")


@pytest.mark.parametrize(
    ("settings", "lacking"),
    [
        (Lanes(db_uri=URI, data_dir=FOLDER), ""),
        (Lanes(db_uri=URI), "MBS2_DATA_DIR is not set"),
        (Lanes(data_dir=FOLDER), "MBS2_DB_URI is not set"),
        (Lanes(), "MBS2_DB_URI and MBS2_DATA_DIR are not set"),
    ],
)
def test_both_settings_are_needed(settings: Lanes, lacking: str) -> None:
    assert settings.why_not_direct == lacking


@pytest.mark.parametrize("lane", [AUTO, API])
def test_without_them_only_the_direct_lane_is_refused(lane: str) -> None:
    assert Lanes(lane=lane).lane_refusal == ""
    assert Lanes(lane=DIRECT, db_uri=URI, data_dir=FOLDER).lane_refusal == ""
    assert Lanes(lane=DIRECT, db_uri=URI).lane_refusal == (
        "--lane direct needs the server's database and its data directory: "
        "MBS2_DATA_DIR is not set; --lane auto does without"
    )
