"""Opens the ledger, which may be damaged, and the cluster, if it is installed."""

import logging
from collections.abc import Callable

from common.settings.setting import part
from common.settings.worker import Waits
from migration.calibre.library import CalibreLibrary
from migration.errors import (
    ClusterUnusable,
)
from migration.lanes.api.transfer import LocalTransport, Transport
from migration.ledger.ledger import Ledger
from migration.ledger.recovery import open_ledger
from migration.server.client import BookshelfClient
from migration.server.session import task_urls
from migration.worker.options import Options


def open_ledger_of(
    options: Options, make: Callable[[], Ledger], log: logging.Logger
) -> Ledger:
    """Opens the ledger, rebuilding it if necessary. Raises Fatal.

    A plain --verify leaves a damaged ledger as it is.
    """
    return (
        make()
        if options.verify and not options.recheck
        else open_ledger(options.state_dir, make, log)
    )


def open_transport(
    options: Options,
    library: CalibreLibrary,
    client: BookshelfClient,
    log: logging.Logger,
) -> Transport:
    """Returns what does the heavy work: this process or a Dask cluster.

    Raises ClusterUnusable.
    """
    if not options.cluster:
        return LocalTransport(library, client, options.parallel_uploads)
    try:
        # Imported here because Dask is optional, and importing it would cost every
        # worker a second and 60 MB.
        from migration.cluster.coordinator import DaskTransport
        from migration.cluster.messages import ClusterPlan
    except ImportError as error:
        raise ClusterUnusable(
            f"--cluster needs Dask ({error}); install it: .venv/bin/pip install -r "
            "requirements-cluster.txt"
        ) from error
    plan = ClusterPlan(
        options.cluster,
        options.cluster_library or options.library.expanduser().resolve(),
        task_urls(options.server, options.ws_url),
        ship=options.ship_files,
        waits=part(Waits, options),
    )
    return DaskTransport(plan, library, client, log)
