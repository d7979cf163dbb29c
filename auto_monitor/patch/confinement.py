"""Whether what this system can enforce on a changed script is enough to try one."""

from auto_monitor import config
from migration.confinement import kernel
from migration.confinement.kernel import Tiers

#: The value of CODE_FIX_CONFINEMENT that wants all of it.
REQUIRE = "require"


def refusal(found: Tiers, wanted: str) -> str:
    """Returns why a code fix may only be proposed here; "" if it may be tried."""
    if found.files or found.programs:
        return f"a changed script cannot be confined here: {found.sentence()}"
    if found.network and wanted == REQUIRE:
        return (
            f"CODE_FIX_CONFINEMENT is {REQUIRE}, and the network cannot be restricted "
            f"here: {found.network}"
        )
    return ""


def sentence(found: Tiers, wanted: str) -> str:
    """Returns in one line what becomes of code fixes on this system, and why."""
    refused = refusal(found, wanted)
    if refused:
        return f"only proposed: {refused}"
    return f"confined: {found.sentence()}"


def here() -> str:
    """Returns what becomes of code fixes on this system, by the settings."""
    return sentence(kernel.tiers(), config.CODE_FIX_CONFINEMENT)


def why_not() -> str:
    """Returns why code fixes are only proposed here, by the settings; "" if tried."""
    return refusal(kernel.tiers(), config.CODE_FIX_CONFINEMENT)
