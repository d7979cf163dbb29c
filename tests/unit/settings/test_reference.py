"""What is written from the model is up to date: docs/settings.md and
docker-compose.yml."""

import pytest
import yaml

from common.settings.reference import COMPOSE, PROGRAMS, compose, rows, written
from common.settings.setting import settings_of


def test_what_is_written_is_up_to_date() -> None:
    """`python -m common.settings` writes it."""
    stale = [
        path.name for path, text in written().items() if path.read_text("utf-8") != text
    ]
    assert stale == [], "run: .venv/bin/python -m common.settings"


def test_every_setting_reaches_the_migrator_container() -> None:
    """Of the worker, the monitor and the dashboard, but for those that are marked."""
    known = set(
        yaml.safe_load(COMPOSE.read_text("utf-8"))["services"]["migrator"][
            "environment"
        ]
    )
    for program in ("worker", "monitor", "dashboard"):
        for one in settings_of(PROGRAMS[program]):
            assert one.variable in known or not one.container, one.variable


def test_every_variable_is_listed_once() -> None:
    """By name, with every program that uses it."""
    listed = [name for name, _ in rows()]
    assert listed == sorted(set(listed))
    assert len(listed) > 80
    state_dir = dict(rows())["STATE_DIR"]
    assert set(state_dir) == {
        "worker",
        "monitor",
        "dashboard",
        "start.sh",
        "stop.sh",
        "retry",
        "serve",
        "container",
    }


def test_a_compose_file_without_the_place_is_refused() -> None:
    """Rather than left without the list."""
    with pytest.raises(ValueError, match="no place for the settings"):
        compose("services:\n")
