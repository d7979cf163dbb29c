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
#: SHA-256 of the released script.
SHIPPED = "599b164f0843fa972d87605f1361c36a67d16c7ff69455a5b43acaacba23a679"


def hash_of(path: Path) -> str:
    """Returns the SHA-256 of a script, "" when it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def is_shipped(path: Path) -> bool:
    """Whether this file is the released script, byte by byte."""
    return hash_of(path) == SHIPPED


def note_changed(script: Path, digest: str) -> None:
    """Records beside a script that a code fix with this SHA-256 is put in its place.

    Whatever state directory a worker has, it knows by that what an LLM has changed.
    Raises OSError.
    """
    path = script.with_name(f".{script.name}{_CHANGED}")
    if digest not in _changed(path):
        with path.open("a", encoding="ascii") as file:
            file.write(f"{digest}\n")
            file.flush()
            os.fsync(file.fileno())


def is_code_fix(script: Path) -> bool:
    """Whether the script in place was made by a code fix, by the list beside it."""
    path = script.with_name(f".{script.name}{_CHANGED}")
    return hash_of(script) in _changed(path)


def _changed(path: Path) -> list[str]:
    try:
        return path.read_text("ascii", "replace").split()
    except FileNotFoundError:
        return []


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
