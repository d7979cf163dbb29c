"""Where `./start.sh` refuses to delete what was removed in Calibre."""

from dataclasses import replace

import pytest

from common.clock import utc_now
from common.settings.load import Sources
from common.settings.programs import StartSettings
from common.settings.setting import settings_of
from deploy.host.job import why_not_delete
from migration.calibre.contradictory import objection

PLAIN = StartSettings(**{one.field: one.default for one in settings_of(StartSettings)})


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({}, ""),
        ({"watch": True}, ""),
        ({"select_tag": ("Fantasy",)}, ""),
        ({"delete_removed": True}, ""),
        ({"delete_removed": True, "watch": True}, "does not go with --watch"),
        ({"delete_removed": True, "select_tag": ("A",)}, "leave out the selection"),
        ({"delete_removed": True, "select_not_ids": ((1, 2),)}, "leave out the"),
    ],
)
def test_what_does_not_go_together(changes: dict[str, object], says: str) -> None:
    values = replace(PLAIN, **changes)  # type: ignore[arg-type]
    # In this order.
    why = objection(
        values, Sources(), utc_now(), deletes=values.delete_removed
    ) or why_not_delete(values)
    assert says in why
    assert bool(why) is bool(says)
