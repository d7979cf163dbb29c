"""The priority of a worker's own process (nice and ionice), so that others go first."""

import psutil

from migration.errors import PriorityRefused

_CLASSES = {"idle": "IOPRIO_CLASS_IDLE", "best-effort": "IOPRIO_CLASS_BE"}


def lower(nice: int, ionice: tuple[str, int] | None) -> None:
    """Sets nice and ionice for this process.

    Raises Misconfigured when the system does not allow or does not know them.
    """
    process = psutil.Process()
    try:
        if nice:
            process.nice(nice)
        if ionice is not None:
            name, level = ionice
            if not hasattr(psutil, _CLASSES[name]):
                raise PriorityRefused(
                    "WORKER_IONICE is not known to this system; leave it out"
                )
            process.ionice(
                getattr(psutil, _CLASSES[name]),
                level if name == "best-effort" else None,
            )
    except (psutil.AccessDenied, PermissionError) as error:
        raise PriorityRefused(
            f"this user may not set nice {nice} or this ionice class; a nice of 0 or "
            "more is always allowed"
        ) from error
