"""The faults of benchmarks/faults/repair.py fit the shipped script: a change of its text
shows here, not in an hour of benchmark."""

from collections import Counter

import pytest

from auto_monitor.decide.diagnosis import parse
from auto_monitor.patch import code_edit
from benchmarks.faults.faultlist import FAULTS, Fault, Kind, replies
from tests.support.monitor.brokenkit import SHIPPED


def test_there_are_enough_of_each_kind() -> None:
    """Ten hangs and eight wrong results of thirty; thirty wrong answers and more."""
    kinds = Counter(fault.kind for fault in FAULTS)
    assert (len(FAULTS), kinds[Kind.HANG], kinds[Kind.RESULT]) == (30, 10, 8)
    assert sum(len(fault.wrong) for fault in FAULTS) >= 30
    assert all(fault.wrong for fault in FAULTS)
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_and_its_answers_are_python(fault: Fault) -> None:
    """Each is another script."""
    broken = fault.broken(SHIPPED)
    texts = [SHIPPED, broken, fault.repair().of(broken)]
    texts += [one.edit.of(broken) for one in fault.wrong if one.edit is not None]
    for text in texts:
        compile(text, "bulk_migrate_calibre.py", "exec")
    assert len(set(texts[1:])) == len(texts[1:])
    assert broken != SHIPPED


@pytest.mark.parametrize(
    ("number", "fault"), [*enumerate(FAULTS)], ids=[fault.name for fault in FAULTS]
)
def test_an_answer_is_understood_in_the_forms_models_use(
    number: int, fault: Fault
) -> None:
    """Each in three of the shapes, all shapes in turn: the edit is the right one."""
    broken = fault.broken(SHIPPED)
    wanted = fault.repair().of(broken).encode()
    shapes = [replies.SHAPES[(number + n) % len(replies.SHAPES)] for n in (0, 4, 8)]
    for shape in shapes:
        code = parse(replies.right(fault, broken, shape)).code
        assert code_edit.apply(broken.encode(), code) == wanted, shape
