"""A home of the tests' own: whatever they start writes nothing into that of a
person."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from common.state_dir import state_root

#: What tools look for in the home and tests go on needing, with the variable that names
#: it.
_KEPT = (
    ("GIT_CONFIG_GLOBAL", ".gitconfig"),
    ("PIP_CONFIG_FILE", ".config/pip/pip.conf"),
    ("DOCKER_CONFIG", ".docker"),
)
_PERSONS = "TESTS_STATE_OF_PERSON"


class Home:
    """Homes below one temporary folder, removed at the end of the process."""

    def __init__(self) -> None:
        # Kept for processes of pytest-xdist, which inherit the home made here.
        self.persons = Path(
            os.environ.setdefault(_PERSONS, str(state_root(os.environ)))
        )
        self.found = _listing(self.persons)
        self.folder = Path(tempfile.mkdtemp(prefix="home-"))
        self._number = 0
        atexit.register(shutil.rmtree, self.folder, ignore_errors=True)
        before = Path(os.environ.get("HOME", "/nonexistent"))
        for variable, name in _KEPT:
            if (before / name).exists():
                os.environ.setdefault(variable, str(before / name))
        os.environ.pop("XDG_STATE_HOME", None)
        os.environ["HOME"] = str(self.fresh())

    def fresh(self) -> Path:
        """One that nobody has used."""
        self._number += 1
        made = self.folder / str(self._number)
        made.mkdir()
        return made

    def written(self) -> list[str]:
        """What has come into the person's folder of state directories."""
        return sorted(_listing(self.persons) - self.found)


def _listing(root: Path) -> frozenset[str]:
    try:
        return frozenset(path.name for path in root.iterdir())
    except OSError:
        return frozenset()
