"""What a code fix may reach: hostile answers nothing, right ones what they need."""

import ast

import pytest

from auto_monitor.patch import guard, offered, source
from tests.support.monitor import guardkit, hostile
from tests.support.monitor.editkit import SOURCE, functions
from tests.support.monitor.repairs import ALL, GIVEN, OURS, SCRIPT
from tests.support.monitor.repairs.kinds import Repair, replace_once

#: What an engineer would write and the guard does not allow: it deletes a file.
TOO_MUCH = {"a temporary file for each book"}


def objections(before: str, after: str) -> list[str]:
    """Of texts."""
    return guard.objections(before.encode(), after.encode())


def changed(old: str, new: str) -> str:
    """The worker with one text for another."""
    return replace_once(SCRIPT, old, new)


@pytest.mark.parametrize("kind", hostile.LINES)
def test_hostile_lines_are_refused(kind: str) -> None:
    """Each alone, for what it says and not because it does not parse."""
    tried = list(guardkit.hostile_lines(kind))
    assert [this.what for this in tried if not this.objections] == []
    assert len(tried) == len(set(hostile.LINES[kind]))


def test_hostile_changes_are_refused() -> None:
    """Outside of bodies, of what proves, and in scripts that hold more."""
    tried = list(guardkit.hostile_changes())
    assert [this.what for this in tried if not this.objections] == []


def test_they_are_many() -> None:
    """Of each kind some."""
    lines = sum(map(len, hostile.LINES.values()))
    assert lines + len(hostile.CHANGES) + len(hostile.LATER) >= 400


@pytest.mark.parametrize("repair", ALL, ids=lambda repair: repair.name)
def test_natural_repairs_are_allowed(repair: Repair) -> None:
    """As answers of an LLM; the case file's all of them."""
    found = guardkit.tried(repair).objections
    assert bool(found) == (repair.name in TOO_MUCH), found


def test_false_refusals_are_few() -> None:
    """At most one in ten of the case file's and of at least forty others."""
    assert (len(GIVEN), len(OURS)) >= (12, 40)
    assert len(TOO_MUCH) <= 0.1 * len(ALL)
    assert not TOO_MUCH & {repair.name for repair in GIVEN}


RIGHT = {
    "nothing": lambda: SCRIPT,
    "a deadline": lambda: guardkit.with_first_lines(
        SCRIPT,
        "next_range",
        "tries = 0\nwhile tries < 3:\n    self.tick(1.0)\n    tries += 1",
    ),
    "a message": lambda: guardkit.with_first_lines(
        SCRIPT, "tick", "self.log.info('see http://example.org/x, %s', seconds)"
    ),
    "a smaller share": lambda: changed(
        "self.ledger.passes.remaining_ids(self.pass_id) // 8",
        "self.ledger.passes.remaining_ids(self.pass_id) // 16",
    ),
    "a comment": lambda: guardkit.with_first_lines(SCRIPT, "tick", "# nothing else"),
    "fewer tries": lambda: changed(
        "stop=tenacity.stop_after_attempt(TRIES)", "stop=tenacity.stop_after_attempt(2)"
    ),
    "several functions": lambda: changed("self.tick(0.0)", "self.tick(0.1)").replace(
        "self.pool.queue.rest(0.5)", "self.pool.queue.rest(0.2)"
    ),
    "a short name for a part": lambda: guardkit.with_first_lines(
        SCRIPT, "look_after", "queue = self.pool.queue\nqueue.rest(0.1)"
    ),
    "a function inside": lambda: guardkit.with_first_lines(
        SCRIPT,
        "tick",
        "def due(seconds: float) -> bool:\n    return seconds > 0.0\n\n"
        "self.log.debug('%s', due(seconds))",
    ),
    "a clean-up that raises on": lambda: guardkit.with_first_lines(
        SCRIPT,
        "tick",
        "try:\n    self.publish()\nexcept Exception:\n    self.pool.queue.pause(False)\n"
        "    raise",
    ),
    "the class of an error": lambda: guardkit.with_first_lines(
        SCRIPT, "put_off", "self.log.info('%s', type(error).__name__)"
    ),
    "an attribute that may be missing": lambda: guardkit.with_first_lines(
        SCRIPT, "put_off", "self.log.info('%s', getattr(error, 'errno', None))"
    ),
    "the traceback of another error": lambda: guardkit.with_first_lines(
        SCRIPT,
        "put_off",
        "self.tracker.failed_with(ServerFault('x').with_traceback(error.__traceback__))",
    ),
    "a text with fields": lambda: guardkit.with_first_lines(
        SCRIPT, "tick", "self.log.info('{:.1f} {x}'.format(seconds, x=1))"
    ),
    "an attribute of its own": lambda: guardkit.with_first_lines(
        SCRIPT, "tick", "self.ticks = getattr(self.found, 'real', 0) + 1"
    ),
}


@pytest.mark.parametrize("case", RIGHT)
def test_ordinary_python_is_free(case: str) -> None:
    """Inside functions."""
    assert objections(SCRIPT, RIGHT[case]()) == []


def test_a_fix_is_small() -> None:
    """Whatever its lines are."""
    more = "\n".join(f"x{n} = {n}" for n in range(offered.MOST_LINES + 1))
    found = objections(SCRIPT, guardkit.with_first_lines(SCRIPT, "next_range", more))
    assert found == ["121 lines change; at most 120 may"]


FAULTS = "while True: pass\nraise Transient('x')\n__import__('time').sleep(10**6)"


@pytest.mark.parametrize(
    "name", sorted(set(functions()) - offered.FIXED - {"__init__"})
)
def test_every_function_can_be_given_back_its_own_text(name: str) -> None:
    """Faults put into any method can be taken out again."""
    before = guardkit.with_first_lines(SOURCE, name, FAULTS)
    assert objections(before, SOURCE) == []
    assert objections(SOURCE, before)


def test_the_script_is_offered_what_it_uses() -> None:
    """A collaborator without a row would be offered nothing new."""
    tree = source.read(SOURCE.encode()).tree
    held = {*offered.COLLABORATORS, offered.OPTIONS}
    used = {
        ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute)
    }
    missing = []
    for chain in sorted(used):
        root, *names = chain.split(".")
        here: object = offered.COLLABORATORS
        if root != "self" or names[0] not in held - {offered.OPTIONS}:
            continue
        for name in names:
            if not isinstance(here, dict) or (name not in here and here):
                missing += [chain] if here is not offered.FREE else []
                break
            here = here[name]
    assert missing == []
