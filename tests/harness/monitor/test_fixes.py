"""The sandbox holds, and the gate lets only a script through that migrates the demo
library as it should."""

from pathlib import Path

import pytest

from auto_monitor.fix_applier import (
    FixRefused,
    NotOurs,
    digest,
    promote,
)
from auto_monitor.model import Candidate
from tests.support.monitor.editkit import SCRIPT, as_strings, workshop


def test_a_candidate_that_was_changed_is_not_promoted(tmp_path: Path) -> None:
    """Only what passed the gate gets into place."""
    place = workshop(tmp_path)
    path = place.keep_candidate(b"x = 1\n")
    made = Candidate(
        path.name, "", digest(place.script.read_bytes()), digest(b"y = 1\n"), "", ""
    )
    with pytest.raises(NotOurs):
        promote(place.script, place.state_dir, made)


REFUSED = [
    (
        as_strings("        return None", "        return None"),
        "cannot be applied|changes nothing",
    ),
    (
        as_strings(
            "        limit = min(self.options.batch_size, share)",
            "        limit = 5; import os",
        ),
        "not allowed",
    ),
    ("```python\ndef main():\n    return 0\n```", "not allowed"),
    ("```python\n    return\n```", "no function"),
]


@pytest.mark.parametrize(("reply", "why"), REFUSED, ids=range(len(REFUSED)))
def test_refused_before_anything_runs(tmp_path: Path, reply: str, why: str) -> None:
    """With the reason; there is a backup, and the script is as it was."""
    place = workshop(tmp_path)
    with pytest.raises(FixRefused, match=why):
        place.apply(reply)
    assert place.script.read_bytes() == SCRIPT.read_bytes()
