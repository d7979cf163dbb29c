"""How much of the machine a worker takes: nice and ionice of its own process, so that other programs go first."""

import psutil

from migration.errors import Misconfigured

_CLASSES = {"idle": "IOPRIO_CLASS_IDLE", "best-effort": "IOPRIO_CLASS_BE"}


def parse_ionice(text: str) -> tuple[str, int] | None:
    """Class and level of `idle`, `best-effort` or `best-effort:0` (first) to `:7` (last); None for "".

    Raises ValueError.
    """
    if not text.strip():
        return None
    name, _, level = text.strip().lower().partition(":")
    if name not in _CLASSES or (level and (name == "idle" or level not in tuple("01234567"))):
        raise ValueError(f"{text!r} is neither idle nor best-effort:0 to best-effort:7")
    return name, int(level or 4) if name == "best-effort" else 0


def lower(nice: int, ionice: tuple[str, int] | None) -> None:
    """Sets both for this process. Raises Misconfigured when the system does not allow it or does not know it."""
    process = psutil.Process()
    try:
        if nice:
            process.nice(nice)
        if ionice is not None:
            name, level = ionice
            if not hasattr(psutil, _CLASSES[name]):
                raise Misconfigured("WORKER_IONICE is not known to this system; leave it out")
            process.ionice(getattr(psutil, _CLASSES[name]), level if name == "best-effort" else None)
    except (psutil.AccessDenied, PermissionError) as error:
        raise Misconfigured(
            f"this user may not set nice {nice} or this ionice class; a nice of 0 or more is always allowed"
        ) from error
