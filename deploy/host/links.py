"""Links in the checkout to the last run's logs, so that `tail -f monitor.log` works.

Only links are ever replaced or removed: a file of an older version that kept its state
in the checkout stays.
"""

import os
import re
from collections.abc import Iterable
from pathlib import Path

from common.files.system_errors import reason_of

#: What is linked besides the workers' logs.
MONITORS = ("monitor.log", "auto_restart.log", "auto_fix_history.json")

_NAMES = re.compile(
    r"monitor\.log|auto_restart\.log|auto_fix_history\.json|migration_worker\d+\.log"
)


def point(checkout: Path, state_dir: Path, names: Iterable[str]) -> dict[str, str]:
    """Makes the links of these names point to this state directory; removes others.

    Returns the links that could not be made, with reasons.
    """
    wanted = [name for name in names if (state_dir / name).is_file()]
    problems: dict[str, str] = {}
    for name in wanted:
        try:
            _link(checkout / name, state_dir / name)
        except FileExistsError:
            problems[name] = "a file of an earlier run is in its place"
        except OSError as error:
            problems[name] = error.strerror or reason_of(error)
    _remove(link for link in _links(checkout) if link.name not in wanted)
    return problems


def clear(checkout: Path) -> None:
    """Removes the links, as the checkout is, or will be, the state directory."""
    _remove(_links(checkout))


def _links(checkout: Path) -> list[Path]:
    """Returns the links made here: they lead to a file of the same name."""
    found = [path for path in sorted(checkout.iterdir()) if _NAMES.fullmatch(path.name)]
    return [path for path in found if _is_ours(path)]


def _is_ours(path: Path) -> bool:
    return path.is_symlink() and path.readlink().name == path.name


def _link(link: Path, target: Path) -> None:
    """Makes a link.

    Raises FileExistsError when something other than a link of ours is there, or
    OSError.
    """
    if _is_ours(link):
        if link.readlink() == target:
            return
        temporary = link.with_name(f".{link.name}.{os.getpid()}.tmp")
        temporary.symlink_to(target)
        try:
            temporary.replace(link)
        finally:
            temporary.unlink(missing_ok=True)
        return
    link.symlink_to(target)


def _remove(found: Iterable[Path]) -> None:
    for path in found:
        try:
            path.unlink()
        except OSError:
            # In a checkout that is not writable the link stays; its target shows what
            # it is.
            continue
