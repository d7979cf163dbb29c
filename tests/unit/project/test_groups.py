"""Tests that share something dear run on one process: the groups of `--dist
loadgroup`."""

import os

import pytest

pytestmark = pytest.mark.xdist_group("groups")


def test_a_group_is_known_to_the_scheduler(request: pytest.FixtureRequest) -> None:
    """pytest-xdist tells it by the end of the id; a pytest that it does not understand
    loses it without a word."""
    if "PYTEST_XDIST_WORKER" in os.environ and request.config.getoption("loadgroup"):
        assert request.node.nodeid.endswith("@groups")
