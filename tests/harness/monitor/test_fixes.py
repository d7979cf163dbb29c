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
from tests.support.monitor.editkit import (
    SCRIPT,
    as_function,
    as_strings,
    functions,
    workshop,
)


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


def test_a_refused_change_is_not_worked_out_again(tmp_path: Path) -> None:
    """The same bytes, whatever the format; the reason is the same. Another change is."""
    place = workshop(tmp_path)
    old = "        limit = min(self.options.batch_size, share)"
    new = f"{old}\n        import os"
    changed = SCRIPT.read_text("utf-8").replace(old, new)
    replies = (
        as_strings(old, new),
        as_function(functions(changed)["end_of_next_range"]),
    )
    said = []
    for reply in replies:
        with pytest.raises(FixRefused) as refusal:
            place.apply(reply)
        said.append(str(refusal.value))
    assert "the change is not allowed" in said[0]
    assert said[1] == f"the same change again: {said[0]}"
    assert len(list(place.folder("candidates").iterdir())) == 1
    with pytest.raises(FixRefused, match=r"^the change is not allowed"):
        place.apply(as_strings(old, f"{old}\n        import sys"))
    assert len(list(place.folder("candidates").iterdir())) == 2
