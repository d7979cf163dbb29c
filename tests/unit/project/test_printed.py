"""Every command that a document prints is typed by a test, or there is a reason."""

from tests.support.environment import PROJECT
from tests.support.machine import printed
from tests.support.machine.tries import TRIES


def test_each_is_typed_or_there_is_a_reason() -> None:
    """One that is new enters `tries.TRIES`, or `printed.NOT_TRIED` with the reason."""
    commands = printed.printed()
    left_out = {command for command in commands if printed.why_not(command)}
    typed = {one.command for one in TRIES}
    assert {
        command: where
        for command, where in commands.items()
        if command not in typed | left_out
    } == {}
    # What is no longer printed is no longer typed.
    assert typed - commands.keys() == set()
    assert typed & left_out == set()


def test_nothing_is_left_out_that_nobody_prints() -> None:
    """A reason for what is gone would be one for what comes next."""
    commands = printed.printed()
    unused = [
        sign
        for sign in printed.NOT_TRIED
        if not any(command.startswith(sign) for command in commands)
    ]
    assert unused == []
    firsts = [block.lines[0].strip() for block in printed.blocks()]
    assert [
        sign
        for sign in printed.NO_COMMANDS
        if not any(first.startswith(sign) for first in firsts)
    ] == []


def test_scripts_are_run_by_the_tests_that_are_named() -> None:
    """A block that is one script."""
    for document, (sign, test) in printed.SCRIPTS.items():
        blocks = [one for one in printed.blocks() if one.document == document]
        assert any(map(printed.is_script, blocks)), sign
        assert document.rpartition("/")[2] in (PROJECT / test).read_text("utf-8")
