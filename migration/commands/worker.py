"""The command line of the worker script: runs the chosen command.

A command is imported only when it is chosen, so that a worker starts without the
others.
"""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from migration.commands.connected import Migrator, answered, command
from migration.errors import ExitCode
from migration.release import script_of
from migration.worker.assembly import assemble
from migration.worker.joining import bind
from migration.worker.options import Options, read_options
from migration.worker.parts import Built, Parts, put_together
from migration.worker.process.ending import end, explained
from migration.worker.process.final import FinalStatus, status_of
from migration.worker.threads.uploader_pool import Stopping

#: Seconds that files in flight are given to finish after a signal.
STOP_SECONDS = 7.0

final = FinalStatus()


def worker(
    argv: Sequence[str], project: Path, make: Callable[[Parts], Migrator]
) -> int:
    """Runs the command that was asked for; returns the exit status.

    In the process of the script it ends with that status.
    """
    final.begin(worker, argv)
    try:
        code = _worker(argv, project, make)
    except (SystemExit, KeyboardInterrupt) as error:
        # Nothing of the script: it asked for help, cannot start, or was interrupted.
        final.end(worker, status_of(error))
        raise
    return final.end(worker, code)


def _worker(
    argv: Sequence[str], project: Path, make: Callable[[Parts], Migrator]
) -> int:
    script = script_of(make)
    options = read_options(argv, project)
    if options.export_map is not None:
        from migration.commands import export_map

        return int(export_map.run(options.state_dir, options.export_map))
    if options.dry_run and options.undo is None:
        from migration.commands import plan

        return int(plan.run(options))
    return int(_run(options, make, script))


def _run(options: Options, make: Callable[[Parts], Migrator], script: str) -> ExitCode:
    """Runs one worker from start to end, with its progress file and log.

    Errors become an exit status; nothing is raised on purpose.
    """
    with assemble(options) as opened:
        built = put_together(opened, script)
        signals = opened.pool.stop_on_signals()
        try:
            return _come_to_its_end(built, make, signals)
        except BaseException as error:  # noqa: BLE001 - anything a script may raise
            return explained(opened, error, signals)
        finally:
            built.close()


def _come_to_its_end(
    built: Built,
    make: Callable[[Parts], Migrator],
    signals: Callable[[], ExitCode],
) -> ExitCode:
    """Runs the command with the script. Raises whatever the script raises."""
    opened = built.opened
    try:
        migrator = make(built.parts)
        migrator.check_api_connectivity()
        answered(migrator.read_library, partial(bind, opened))
        code = command(migrator, built)
        end(opened, done=code is not ExitCode.PENDING)
    except Stopping:
        opened.pool.end(
            STOP_SECONDS,
            lambda work: built.parts.accounting.give_back(work, counted=False),
        )
        end(opened, done=False)
        return signals()
    return code


final.guard(worker)
