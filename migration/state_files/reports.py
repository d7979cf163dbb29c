"""Where reports are: `report/` has the newest, `report/pass-N/` that of a pass.

Only those of the newest passes are kept. What is in them is the dashboard's.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

FOLDER = "report"
PAGE, DATA = "report.html", "report.json"
_NAME = re.compile(r"pass-([1-9][0-9]{0,17})")


@dataclass(frozen=True, slots=True)
class KeptReport:
    """The report of a pass, and when it was written."""

    pass_id: int
    page: Path
    at: datetime


def folder_of(folder: Path, pass_id: int) -> Path:
    """Returns where the report of a pass is kept."""
    return folder / f"pass-{pass_id}"


def kept(folder: Path) -> list[KeptReport]:
    """Returns the reports that are kept, newest pass first."""
    found = []
    for number, place in _folders(folder):
        with suppress(OSError):
            written = (place / PAGE).stat().st_mtime
            at = datetime.fromtimestamp(written, tz=UTC)
            found.append(KeptReport(number, place / PAGE, at))
    return found


def forget_old(folder: Path, newest: int) -> None:
    """Deletes the reports of all but the newest passes, and nothing else there."""
    for _number, place in list(_folders(folder))[newest:]:
        with suppress(OSError):
            for name in (PAGE, DATA):
                (place / name).unlink(missing_ok=True)
            # Not if somebody has put something into it.
            place.rmdir()


def _folders(folder: Path) -> Iterator[tuple[int, Path]]:
    """Yields pass and folder of each report, newest first."""
    try:
        places = [path for path in folder.iterdir() if not path.is_symlink()]
    except OSError:
        return
    named = [(_NAME.fullmatch(path.name), path) for path in places]
    yield from sorted(
        ((int(match[1]), path) for match, path in named if match and path.is_dir()),
        reverse=True,
    )
