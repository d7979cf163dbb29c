"""The mutants of the worker script fit the script that is there."""

import ast

from benchmarks.mutants import by_hand, by_machine, choose
from migration.release import SCRIPT
from tests.support.environment import PROJECT

SOURCE = (PROJECT / SCRIPT).read_text("utf-8")


def test_the_lies_by_hand_fit_the_script() -> None:
    """Each changes one place, and what comes of it is Python."""
    for one in by_hand(SOURCE):
        assert one.text != SOURCE
        ast.parse(one.text)


def test_the_machine_turns_drops_returns_and_swallows() -> None:
    """And never makes the same program again."""
    found = by_machine(SOURCE)
    same = ast.dump(ast.parse(SOURCE))
    assert all(ast.dump(ast.parse(one.text)) != same for one in found)
    for kind in ("negated", "constant", "dropped", "early return", "swallowed"):
        assert any(kind in one.name for one in found), kind
    assert len(found) > 300


def test_a_seed_chooses_the_same_mutants() -> None:
    """Those by hand are always among them."""
    first = choose(SOURCE, 40, 7)
    assert first == choose(SOURCE, 40, 7)
    assert first[: len(by_hand(SOURCE))] == by_hand(SOURCE)
    assert len(first) == 40
