"""Which worker script this release was made with.

A pass in which another one ran is read back completely before it is closed: the script
may be wrong, slow or stuck, but what it says is not believed.

`python -m migration.release` writes the hash anew; `make format` does it too.
"""

import hashlib
import re
import sys
from pathlib import Path

#: The worker script, below the project's folder.
SCRIPT = "bulk_migrate_calibre.py"
#: SHA-256 of the released script.
SHIPPED = "d9c347b0e30cef5eb19d4d2360d440fc3e75c0a33262405e41ce90bd3d59a3b3"


def hash_of(path: Path) -> str:
    """Returns the SHA-256 of a script, "" when it cannot be read."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError:
        return ""


def is_shipped(path: Path) -> bool:
    """Whether this file is the released script, byte by byte."""
    return hash_of(path) == SHIPPED


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
