"""`monitor.py --status`, `--resume`, `--rollback`, `--diff`, `--apply`: one command."""

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from auto_monitor import config
from auto_monitor.cli import commands
from auto_monitor.cli.command_line import script_of
from auto_monitor.cli.daemon import alive, something_runs
from auto_monitor.fix_applier import Workshop
from auto_monitor.repair import by_hand
from common.hints import hint
from common.settings.load import load
from common.settings.shared import Library
from migration.state_dirs import resolve


def is_asked_for(given: argparse.Namespace) -> bool:
    """Whether such an option was given, so that no monitor is to run."""
    asked = (given.status, given.rollback, given.diff, given.apply)
    return any(asked) or given.resume is not None


def carry_out(
    given: argparse.Namespace, environment: Mapping[str, str], argv: Sequence[str]
) -> int:
    """Does what was asked for; returns the exit status.

    `given.state_dir` is filled in: by default that of the migration that runs, or else
    of the last one. Raises StateDirUnclear, Misconfigured, FixRefused or
    StateUnwritable.
    """
    if not given.state_dir:
        command = hint("monitor", *argv)
        given.state_dir = resolve.for_command(
            environment, config.PROJECT, command, something_runs
        )
    state_dir = Path(given.state_dir).expanduser().resolve()
    if given.status:
        # Imported here, because a running monitor draws nothing.
        from auto_monitor.cli import live

        return live.show(state_dir, as_json=given.json, watch=bool(given.watch))
    if given.rollback:
        sys.stdout.write(
            by_hand.roll_back(script_of(given.found, state_dir), state_dir)
        )
        return 0
    if given.diff:
        script = script_of(given.found, state_dir)
        sys.stdout.write(by_hand.difference(script, config.PROJECT, state_dir))
        return 0
    if given.apply:
        workshop = Workshop(
            script_of(given.found, state_dir),
            config.PROJECT,
            state_dir,
            config.GATE_SECONDS,
            load(Library, given.found).library,
        )
        sys.stdout.write(by_hand.apply(workshop, given.apply))
        return 0
    commands.leave(
        state_dir, commands.Command(commands.CommandKind.RESUME, given.resume)
    )
    when = (
        f"when it runs again: {hint('start', state_dir=state_dir)}"
        if alive(state_dir) is None
        else "at its next look."
    )
    sys.stdout.write(f"The monitor will resume worker {given.resume} {when}\n")
    return 0
