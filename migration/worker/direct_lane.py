"""The direct lane, built on the resources of a worker's process.

Without it, or where it cannot be proved that database and data directory are this
server's, it only settles what an earlier process with it has left.
"""

from collections.abc import Callable
from datetime import timedelta

from migration.lanes.context import Context
from migration.lanes.direct.child import Channel, HostProcess
from migration.lanes.direct.first_look import FirstLook
from migration.lanes.direct.fits import BatchLimits
from migration.lanes.direct.journals import Journals
from migration.lanes.direct.lane import DirectLane
from migration.lanes.direct.link import Link
from migration.lanes.direct.recovery import Recovery
from migration.worker.progress.lane_watch import LaneWatch
from migration.worker.resources import Resources

#: How long an own process of the lane may be silent, in seconds, besides what one task
#: of the server may take.
LOCK_SECONDS = 90.0


def put_together(
    opened: Resources, context: Context, watch: LaneWatch, changed_script: str
) -> DirectLane:
    """Returns the lane. `changed_script` is the hash of the worker's script, or ""."""
    options = opened.options
    link = Link(
        begin or (lambda: _begin(opened, watch)),
        opened.log,
        off=_why_off(opened, changed_script),
        # Who gives neither setting has not asked for this lane.
        silent=not (options.db_uri or options.data_dir),
        required=options.lane == "direct",
    )
    recovery = Recovery(
        opened.ledger,
        opened.client,
        opened.clock,
        opened.log,
        timedelta(seconds=options.reconcile_after_seconds),
        link.settle,
        watch.wait,
    )
    return DirectLane(
        link,
        recovery,
        Journals(context),
        watch,
        _limits(opened),
        options.max_content_length,
        FirstLook(opened.client).look_at,
        opened.clock.seconds,
    )


#: How the lane's process is begun, in place of the real one. For tests.
begin: Callable[[], Channel] | None = None


def _why_off(opened: Resources, changed_script: str) -> str:
    """Returns why there is no direct lane, or ""."""
    options = opened.options
    if options.lane == "api":
        return "so it was chosen (--lane api)"
    if changed_script:
        return "the worker's script was changed, and only released code writes directly"
    return options.why_not_direct


def _limits(opened: Resources) -> BatchLimits:
    """Returns how much a batch may hold: under a limit, what about a second allows."""
    options, usual = opened.options, BatchLimits()
    files, size = usual.files, usual.size
    if options.max_files_per_min:
        files = max(1, int(options.max_files_per_min / 60))
    if options.bwlimit:
        size = max(1, int(options.bwlimit / 4))
    return BatchLimits(usual.books, files, size)


def _begin(opened: Resources, watch: LaneWatch) -> Channel:
    """Proves that all is this server's and starts the process."""
    # Imported here: it needs the driver of PostgreSQL, which no other lane does.
    from migration.lanes.direct.proving import Wanted, prove

    options = opened.options
    assert options.data_dir is not None
    wanted = Wanted(
        options.db_uri,
        options,
        options.data_dir.absolute(),
        options.covers == "keep",
        options.library.expanduser().resolve(),
        opened.ledger.identity.first_library,
        options.username,
        options.lane_owner,
        options.public_shelves,
        int(opened.ledger.note("server_db_last_id") or 0),
    )
    opening = prove(wanted, opened.client.session)
    silence = options.task_seconds + LOCK_SECONDS
    process = HostProcess(opening, silence, watch.look, watch.moved)
    opened.log.info(
        "The books go straight into the server's database and data directory: both "
        "were proved to be those of %s (process %d)",
        options.server,
        process.pid,
    )
    return process
