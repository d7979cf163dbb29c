"""Has the kernel confine this process: Landlock for files and ports, seccomp for calls.

Neither needs privileges, and both work inside an ordinary container. What is confined
stays so, with all threads and processes it starts. The libraries are there on Linux
only (requirements.txt).
"""

import errno
import os
import platform
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from migration.confinement import calls
from migration.confinement.rules import Access, Rule
from migration.errors import ExitCode, Fatal

if TYPE_CHECKING:
    from landlockpy import AccessFS

#: Landlock's version from which ports can be named (Linux 6.7).
PORTS = 4


class CannotConfine(Fatal):
    """The worker's script was changed, and this system cannot confine it.

    The message says what is missing.
    """

    code = "not-confined"
    exit_code = ExitCode.USAGE


@dataclass(frozen=True, slots=True)
class Tiers:
    """What can be enforced here; each is "" or why it cannot."""

    files: str
    programs: str
    network: str
    #: Whether a port of the server's database can be opened, and no other.
    ports: bool = False

    @property
    def enough(self) -> bool:
        """Whether a changed script may run at all."""
        return not (self.files or self.programs)

    def sentence(self) -> str:
        """Returns in one line what holds and what does not."""
        missing = {
            "files": self.files,
            "programs": self.programs,
            "network": self.network,
        }
        reasons = [f"{name} ({why})" for name, why in missing.items() if why]
        if not reasons:
            return "files, programs and network"
        held = [name for name, why in missing.items() if not why]
        said = f"not {', '.join(reasons)}"
        return f"{', '.join(held)}; {said}" if held else said


def tiers() -> Tiers:
    """Finds out what can be enforced here."""
    if platform.system() != "Linux":
        why = f"{platform.system()} has neither Landlock nor seccomp"
        return Tiers(why, why, why)
    try:
        import landlockpy
        import pyprctl  # noqa: F401
        import seccompy
    except ImportError as error:
        why = f"{error.name} is not installed"
        return Tiers(why, why, why)
    filters = _filters(seccompy)
    version = _landlock(landlockpy)
    files = filters or ("" if version else "the kernel has no Landlock, or not enabled")
    return Tiers(files, filters, filters, ports=version >= PORTS)


def _filters(seccompy: object) -> str:
    """Returns why seccomp filters cannot be used; "" if they can."""
    machine = platform.machine()
    if machine not in ("x86_64", "aarch64"):
        return f"not known on {machine}"
    try:
        found = bool(seccompy.supported())  # type: ignore[attr-defined]
    except OSError:
        found = False
    return "" if found else "the kernel has no seccomp filters"


def _landlock(landlockpy: object) -> int:
    try:
        return int(landlockpy.abi_version())  # type: ignore[attr-defined]
    except OSError:
        return 0


def confine(rules: Iterable[Rule], ports: Iterable[int]) -> None:
    """Confines this process for good. It must have no other thread yet.

    `ports` are those it may connect to by itself, on any host. Raises CannotConfine.
    """
    alone = len(list(Path("/proc/self/task").iterdir())) == 1
    if not alone:
        raise CannotConfine("it has other threads already")
    opened = tuple(ports)
    try:
        _drop_capabilities()
        _landlocked(rules, opened)
        _filtered(connects=bool(opened))
    except OSError as error:
        raise CannotConfine(error.strerror or str(error)) from error


def _drop_capabilities() -> None:
    """Leaves root with what opens other users' files, which Landlock then decides on.

    Without it root could read the kernel's memory in /proc/kcore.
    """
    import pyprctl

    kept = {pyprctl.Cap.DAC_OVERRIDE, pyprctl.Cap.DAC_READ_SEARCH}
    now = pyprctl.CapState.get_current()
    permitted = now.permitted & kept
    pyprctl.CapState(
        effective=permitted, permitted=permitted, inheritable=set()
    ).set_current()


def _landlocked(rules: Iterable[Rule], ports: Iterable[int]) -> None:
    from landlockpy import AccessNet, Ruleset, Scope

    with Ruleset(scoped=Scope.ABSTRACT_UNIX_SOCKET | Scope.SIGNAL) as ruleset:
        for rule in rules:
            if rule.path.exists():
                access = _rights(rule.access, folder=rule.path.is_dir())
                ruleset.allow_path(rule.path, access)
        for port in ports:
            ruleset.allow_port(port, AccessNet.CONNECT_TCP)
        ruleset.restrict()


def _rights(access: Access, *, folder: bool) -> "AccessFS":
    from landlockpy import AccessFS as Right

    written = Right.READ_FILE | Right.WRITE_FILE | Right.TRUNCATE
    if access is Access.LIST:
        return Right.READ_DIR if folder else Right.NONE
    if access is Access.READ:
        return Right.READ_FILE | (Right.READ_DIR if folder else Right.NONE)
    if access is Access.WRITE or not folder:
        return written
    made = Right.MAKE_REG | Right.MAKE_DIR | Right.REMOVE_FILE | Right.REMOVE_DIR
    return written | made | Right.READ_DIR | Right.REFER


def _filtered(*, connects: bool) -> None:
    import seccompy
    from seccompy import ArgCmp, CmpOp

    made = seccompy.Filter(seccompy.Action.ALLOW)
    found = tuple(calls.calls(os.getpid(), connects=connects))
    for number, call in calls.known(found, seccompy.syscall_nr):
        when = [
            ArgCmp(one.argument, CmpOp.EQ, one.value)
            if one.mask is None
            else ArgCmp(one.argument, CmpOp.MASKED_EQ, one.value, one.mask)
            for one in call.when
        ]
        if call.error:
            made.errno(number, call.error, args=when or None)
        else:
            made.allow(number, args=when or None)
    if seccompy.arch() == "x86_64":
        for number in _x32(found, seccompy.syscall_nr):
            made.errno(number, errno.ENOSYS)
    made.load()


def _x32(found: tuple[calls.Call, ...], number: Callable[[str], int]) -> set[int]:
    """Returns the x32 numbers of the calls with a rule: none of them is needed."""
    own = {one for one, _call in calls.known(found, number)}
    return {calls.X32 | one for one in own | set(calls.X32_ONLY)}
