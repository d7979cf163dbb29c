"""Which worker script this release was made with.

A pass in which another one ran is read back completely before it is closed: the script
may be wrong, slow or stuck, but what it says is not believed.

`python -m migration.release` writes the hash anew; `make format` does it too.
"""

import hashlib
import os
import re
import sys
from pathlib import Path

#: The worker script, below the project's folder.
SCRIPT = "bulk_migrate_calibre.py"
#: The ending of the file beside a script that lists code fixes of it.
_CHANGED = ".changed"
#: Stands before the release in a line of that list.
_RELEASE = "release="
#: In place of a release: the code fix was made of a script of the user's own.
OWN = "own"
#: In place of a release: an older version did not record it.
UNKNOWN = ""
#: SHA-256 of the released script.
SHIPPED = "064d987fd0b8e5adbb7dd64c063e4f800f994bf0d19eaf2dc1bdc9d3bbe756e9"


def hash_of(path: Path) -> str:
    """Returns the SHA-256 of a script, "" when it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def is_shipped(path: Path) -> bool:
    """Whether this file is the released script, byte by byte."""
    return hash_of(path) == SHIPPED


def note_changed(script: Path, digest: str, before: str) -> None:
    """Records beside a script that a code fix with this SHA-256 is put in its place.

    Whatever state directory a worker has, it knows by that what an LLM has changed, and
    of which release; `before` is the script that the fix was made from. Raises OSError.
    """
    known = _changed(script)
    if digest not in known:
        made_for = SHIPPED if before == SHIPPED else known.get(before, OWN)
        path = script.with_name(f".{script.name}{_CHANGED}")
        with path.open("a", encoding="ascii") as file:
            file.write(f"{digest} {_RELEASE}{made_for}\n")
            file.flush()
            os.fsync(file.fileno())


def is_code_fix(script: Path) -> bool:
    """Whether the script in place was made by a code fix, by the list beside it."""
    return hash_of(script) in _changed(script)


def made_for(script: Path) -> str | None:
    """Returns the SHA-256 of the release that the code fix in place was made of.

    None when the script in place is no code fix; OWN when it was made of a script that
    was no release, UNKNOWN when an older version has not recorded it.
    """
    return _changed(script).get(hash_of(script))


def _changed(script: Path) -> dict[str, str]:
    """Returns the code fixes of a script, with the release that each was made of."""
    path = script.with_name(f".{script.name}{_CHANGED}")
    try:
        lines = path.read_text("ascii", "replace").splitlines()
    except FileNotFoundError:
        return {}
    found = {}
    for line in lines:
        digest, _, rest = line.strip().partition(" ")
        if digest:
            of = rest.strip()
            found[digest] = (
                of.removeprefix(_RELEASE) if of.startswith(_RELEASE) else UNKNOWN
            )
    return found


def script_of(made: object) -> str:
    """Returns the hash of the script in which a class was written.

    Returns "" for the released one. Call it early: the file may be replaced.
    """
    module = sys.modules.get(str(getattr(made, "__module__", "")))
    found = hash_of(Path(str(getattr(module, "__file__", ""))))
    return "" if found == SHIPPED else found or "unknown"


def main() -> None:
    """Writes the hash of the script into this file."""
    here = Path(__file__).resolve()
    shipped = hash_of(here.parent.parent / SCRIPT)
    text = re.sub(
        r'^SHIPPED = ".*"$', f'SHIPPED = "{shipped}"', here.read_text(), flags=re.M
    )
    here.write_text(text)


if __name__ == "__main__":
    main()
