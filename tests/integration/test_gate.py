"""The sandbox holds, and the gate lets only a script through that migrates the demo
library as it should."""

from pathlib import Path

import pytest

from auto_monitor.fix_applier import (
    FixRefused,
    NotOurs,
    backups,
    candidate_path,
    digest,
    promote,
    replace,
    roll_back,
)
from tests.support.editkit import as_strings, workshop

pytestmark = [pytest.mark.integration]


def test_the_way_of_a_code_fix(tmp_path: Path) -> None:
    """Backup, candidate, promotion, and back; a third version is never overwritten."""
    place = workshop(tmp_path)
    before = place.script.read_bytes()
    place.script.chmod(0o755)
    made = place.apply(
        as_strings(
            "        limit = min(self.options.batch_size, share)",
            "        limit = min(share, self.options.batch_size)",
        )
    )
    assert place.script.read_bytes() == before
    kept = digest(candidate_path(place.state_dir, made.name).read_bytes())
    assert (made.before, kept) == (digest(before), made.after)
    promote(place.script, place.state_dir, made)
    promote(place.script, place.state_dir, made)
    assert digest(place.script.read_bytes()) == made.after
    assert place.script.stat().st_mode & 0o777 == 0o755
    assert roll_back(place.script, place.state_dir) == made.backup
    assert place.script.read_bytes() == before
    with pytest.raises(FixRefused, match="no backup"):
        roll_back(place.script, place.state_dir)
    replace(place.script, before + b"# newer\n")
    with pytest.raises(NotOurs):
        promote(place.script, place.state_dir, made)
    assert place.script.read_bytes() == before + b"# newer\n"
    assert [path.name for path in backups(place.state_dir, place.script)] == [
        made.backup
    ]
