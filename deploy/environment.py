"""What a program that is started here gets of the environment."""

import os

from common import sd_notify
from common.settings.load import Sources
from common.settings.reference import PROGRAMS
from common.settings.setting import settings_of

#: Settings of one server and its login: .env may hold those of another one.
_OF_A_SERVER = "MBS2_"


def environment_for(found: Sources, *models: type) -> dict[str, str]:
    """The environment of a program with these models: all of its settings, wherever they
    are from, so that it need not read the files again.

    What is no setting of ours goes through as it is (PATH, a proxy), but for what systemd
    says to the starter. The server and its login are the starter's to add.
    """
    given = {**os.environ, **found.texts()}
    ours = {one.variable for model in PROGRAMS.values() for one in settings_of(model)}
    others = {name: text for name, text in given.items() if name not in ours}
    told = {**others, **found.handed_on(*models)}
    foreign = (_OF_A_SERVER, *sd_notify.VARIABLES)
    return {name: text for name, text in told.items() if not name.startswith(foreign)}
