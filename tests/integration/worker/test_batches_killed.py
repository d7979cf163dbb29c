"""Who sends a batch of books, or who takes it, is killed in the middle: each book is
there once, and nothing is left over."""

from pathlib import Path

import pytest

from tests.support.migration.batchkills import Kill, make_library, run

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("victim", ["worker", "server"])
def test_a_kill_in_the_middle_of_a_batch(tmp_path: Path, victim: str) -> None:
    """`benchmarks/faults/batches_killed.py` does it many times, at drawn moments."""
    library, contents = make_library(tmp_path / "library", 24)
    kill = Kill(victim, batch=1, seconds=0.03)
    struck, wrong = run(tmp_path / "scene", library.root, contents, kill)
    assert (struck, wrong) == (True, [])
